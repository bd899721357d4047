#include "sdrbee/generation/request.h"

#include <gtest/gtest.h>

#include <limits>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/recipe.h"

namespace sdrbee {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Image grey(int64_t width, int64_t height) {
  return {{width, height}, 1, std::vector<uint8_t>(static_cast<size_t>(width * height), 7)};
}

/// The message of the InvalidRequest that resolving must throw.
std::string refusal(const GenerationRequest& request) {
  try {
    resolve(request, ModelInfo());
  } catch (const InvalidRequest& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ResolveRequest, TakesTheModelsDefaultsOfTheMode) {
  ModelInfo info;
  info.text_to_image = {30, 5.5, 1.0};
  info.image_to_image = {40, 6.5, 0.8};
  GenerationRequest request;
  EXPECT_EQ(resolve(request, info).steps, 30);
  EXPECT_EQ(resolve(request, info).width, 512);
  request.image = grey(70, 64);
  const GenerationRequest resolved = resolve(request, info);
  EXPECT_EQ(resolved.steps, 40);
  EXPECT_EQ(resolved.strength, 0.8);
  EXPECT_EQ(resolved.width, 64);  // the picture's own size, floored to the multiple
}

TEST(ResolveRequest, ChoosesASeedOnlyWhenThereIsNone) {
  GenerationRequest request;
  EXPECT_TRUE(resolve(request, ModelInfo()).seed.has_value());
  request.seed = 0;
  EXPECT_EQ(resolve(request, ModelInfo()).seed, 0U);
}

TEST(ResolveRequest, NamesTheNearestValidSize) {
  GenerationRequest request;
  request.width = 100;
  EXPECT_NE(refusal(request).find("[width]"), std::string::npos);
  EXPECT_NE(refusal(request).find("nearest valid value is 104"), std::string::npos);
  request.width = 0;
  EXPECT_NE(refusal(request).find("nearest valid value is 8"), std::string::npos);
  request.width = -64;
  EXPECT_NE(refusal(request).find("got -64"), std::string::npos);
}

TEST(ResolveRequest, RefusesValuesOutOfRangeByName) {
  const auto names = [](auto change, const char* field) {
    GenerationRequest request;
    change(request);
    EXPECT_TRUE(refusal(request).starts_with(std::string("[") + field + "]")) << refusal(request);
  };
  names([](GenerationRequest& r) { r.steps = 0; }, "steps");
  names([](GenerationRequest& r) { r.steps = 10001; }, "steps");
  names([](GenerationRequest& r) { r.guidance_scale = kNan; }, "guidance_scale");
  names([](GenerationRequest& r) { r.guidance_rescale = kNan; }, "guidance_rescale");
  names([](GenerationRequest& r) { r.guidance_start = 0.6, r.guidance_end = 0.5; }, "guidance_end");
  names([](GenerationRequest& r) { r.count = 0; }, "count");
  names([](GenerationRequest& r) { r.eta = -0.1; }, "eta");
  names([](GenerationRequest& r) { r.clip_skip = -1; }, "clip_skip");
  names([](GenerationRequest& r) { r.output = "jpeg"; }, "output");
  names([](GenerationRequest& r) { r.long_prompt = "cut"; }, "long_prompt");
  names([](GenerationRequest& r) { r.strength = 0.5; }, "strength");
  names([](GenerationRequest& r) { r.image = grey(64, 64), r.strength = 1.5; }, "strength");
  names([](GenerationRequest& r) { r.image = grey(64, 64), r.strength = kNan; }, "strength");
  names([](GenerationRequest& r) { r.mask = grey(64, 64); }, "mask");
  names([](GenerationRequest& r) { r.image = grey(64, 64), r.mask = grey(64, 72); }, "mask");
  names([](GenerationRequest& r) { r.image = Image{{64, 64}, 3, {}}; }, "image");
  names([](GenerationRequest& r) { r.sigmas = {1.0, 2.0}; }, "sigmas");
  names([](GenerationRequest& r) { r.sigmas = {2.0, kNan}; }, "sigmas");
  names([](GenerationRequest& r) { r.outpaint = {8, 0, 0, 0}; }, "outpaint");
  names([](GenerationRequest& r) { r.image = grey(64, 64), r.outpaint = {8, 0}; }, "outpaint");
  names([](GenerationRequest& r) { r.mask_blur = 2; }, "mask_blur");
  names([](GenerationRequest& r) { r.hires_scale = kNan; }, "hires_scale");
  names([](GenerationRequest& r) { r.hires_steps = 4; }, "hires_steps");
  names([](GenerationRequest& r) { r.tiling = "z"; }, "tiling");
}

TEST(ResolveRequest, LeavesAResolvedRequestAsItIs) {
  for (const bool with_image : {false, true}) {
    GenerationRequest request;
    if (with_image) request.image = grey(64, 64);
    const GenerationRequest resolved = resolve(request, ModelInfo());
    EXPECT_EQ(resolve(resolved, ModelInfo()), resolved);
  }
}

TEST(ResolveRequest, FramesThePictureWhereTheModelIsTold) {
  ModelInfo info;
  GenerationRequest request;
  EXPECT_TRUE(resolve(request, info).original_size.empty());
  info.capabilities.framing = true;
  request.width = 64;
  request.crop = {3, 5};
  const GenerationRequest resolved = resolve(request, info);
  EXPECT_EQ(resolved.original_size, (std::vector<int64_t>{64, 512}));
  EXPECT_EQ(resolved.target_size, (std::vector<int64_t>{64, 512}));
  EXPECT_EQ(resolved.crop, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(resolve(resolved, info), resolved);
}

TEST(ResolveRequest, TakesTheSizeOfLatents) {
  GenerationRequest request;
  request.latents = LatentImage{4, {3, 2}, std::vector<float>(24)};
  request.denoising_start = 0.5;
  EXPECT_EQ(request.mode(), Mode::ImageToImage);
  const GenerationRequest resolved = resolve(request, ModelInfo());
  EXPECT_EQ(resolved.width, 24);
  EXPECT_EQ(resolved.height, 16);
  EXPECT_FALSE(resolved.strength.has_value());  // what another model ran takes its place
  EXPECT_EQ(resolve(resolved, ModelInfo()), resolved);
  request.width = 32;
  EXPECT_TRUE(refusal(request).starts_with("[latents]"));
  request.width.reset();
  request.latents->values.pop_back();
  EXPECT_TRUE(refusal(request).starts_with("[latents]"));
}

TEST(ResolveRequest, RefusesAModeThatTheModelHasNot) {
  ModelInfo info;
  info.capabilities.text_to_image = false;
  EXPECT_THROW(resolve({}, info), InvalidRequest);
  GenerationRequest request;
  request.image = grey(64, 64);
  EXPECT_NO_THROW(resolve(request, info));
  info.capabilities.image_to_image = false;
  EXPECT_THROW(resolve(request, info), InvalidRequest);
  request.mask = grey(64, 64);
  EXPECT_NO_THROW(resolve(request, info));
  info.capabilities.inpaint = false;
  EXPECT_THROW(resolve(request, info), InvalidRequest);
}

/// The message of the InvalidRequest for a model of these capabilities.
std::string refusal(const GenerationRequest& request, const Capabilities& capabilities) {
  ModelInfo info;
  info.capabilities = capabilities;
  info.reference_sizes = {{512, 512}};
  try {
    resolve(request, info);
  } catch (const InvalidRequest& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ResolveRequest, AsksForAControlImageWhereTheModelFollowsOne) {
  GenerationRequest request;
  EXPECT_NE(refusal(request, {.control_image = true}).find("[control_image]"), std::string::npos);
  request.control_image = grey(8, 8);
  EXPECT_EQ(refusal(request, {.control_image = true}), "accepted");
  EXPECT_NE(refusal(request, {}).find("[control_image]"), std::string::npos);
  request.control_image->pixels.clear();
  EXPECT_NE(refusal(request, {.control_image = true}).find("no pixels"), std::string::npos);
}

TEST(ResolveRequest, GuidesTrulyWhereTheModelCan) {
  GenerationRequest request;
  request.true_guidance_scale = 2.0;
  EXPECT_NE(refusal(request, {}).find("[true_guidance_scale]"), std::string::npos);
  EXPECT_EQ(refusal(request, {.true_guidance = true}), "accepted");
  request.true_guidance_scale = kNan;
  EXPECT_NE(refusal(request, {.true_guidance = true}).find("finite"), std::string::npos);
}

TEST(ResolveRequest, StartsFromNoiseBesideAReference) {
  GenerationRequest request;
  request.image = grey(300, 200);
  ModelInfo info;
  info.capabilities.reference_image = true;
  info.reference_sizes = {{640, 320}, {480, 320}, {320, 320}};
  const GenerationRequest resolved = resolve(request, info);
  EXPECT_FALSE(resolved.strength.has_value());
  EXPECT_EQ(resolved.width, 480);
  EXPECT_EQ(resolved.height, 320);
  request.strength = 0.5;
  EXPECT_NE(refusal(request, info.capabilities).find("[strength]"), std::string::npos);
  request.strength.reset();
  request.denoising_start = 0.5;
  EXPECT_NE(refusal(request, info.capabilities).find("[denoising_start]"), std::string::npos);
}

TEST(ModelInfo, TakesTheNarrowerOfEquallyNearReferenceSizes) {
  ModelInfo info;
  info.reference_sizes = {{300, 200}, {100, 200}};
  EXPECT_EQ(info.reference_fit({400, 400}).cut.width, 100);
  EXPECT_EQ(info.reference_fit({400, 390}).cut.width, 300);
}

TEST(ModelInfo, ReducesLargeReferencesAndCutsThemToWholeTokens) {
  ModelInfo info;
  info.sizes.multiple = 16;
  info.reference_area = 100 * 100;
  const ReferenceFit small = info.reference_fit({90, 75});
  EXPECT_EQ(small.scaled, (PixelSize{90, 75}));
  EXPECT_EQ(small.cut, (PixelSize{80, 64}));
  const ReferenceFit large = info.reference_fit({400, 100});
  EXPECT_EQ(large.scaled, (PixelSize{200, 50}));
  EXPECT_EQ(large.cut, (PixelSize{192, 48}));
}

TEST(SplitCount, GivesEachPictureItsOwnSeed) {
  GenerationRequest request;
  request.seed = 5;
  request.count = 3;
  const auto singles = split_count(resolve(request, ModelInfo()));
  ASSERT_EQ(singles.size(), 3U);
  EXPECT_EQ(singles[2].seed, 7U);
  EXPECT_EQ(singles[2].count, 1);
}

TEST(ResolveRequest, OutpaintingIsAnInpaintingOfTheLargerPicture) {
  GenerationRequest request;
  request.image = grey(64, 72);
  request.outpaint = {8, 16, 24, 0};
  EXPECT_EQ(request.mode(), Mode::Inpaint);
  const GenerationRequest resolved = resolve(request, ModelInfo());
  EXPECT_EQ(resolved.width, 96);
  EXPECT_EQ(resolved.height, 88);
}

TEST(RequestJson, KeepsEveryField) {
  GenerationRequest request;
  request.prompt = "a \"red\" circle\n\xf0\x9f\x94\xb4";
  request.negative_prompt = "";
  request.seed = 0xffffffffffffffffULL;
  request.guidance_scale = 0.1;
  request.sigmas = {3.25, 0.1};
  request.keep_unmasked = false;
  EXPECT_EQ(request_from_json(request_to_json(request)), request);
}

TEST(RequestJson, NamesAFieldOfTheWrongType) {
  try {
    request_from_json({{"steps", "many"}});
    FAIL() << "accepted";
  } catch (const InvalidRequest& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("[steps]"));
  }
}

}  // namespace
}  // namespace sdrbee
