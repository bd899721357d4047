// Generations as bytes: CBOR (RFC 8949) with the tensors as byte strings.
#include <ATen/ops/empty.h>

#include <cstring>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/conditions.h"
#include "sdrbee/generation/control_pictures_json.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/generation/sealed_json.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {
namespace {

using Json = nlohmann::json;
constexpr int64_t kFormat = 5;
constexpr int64_t kMaxTensorElements = int64_t{1} << 30;

Json pack(const Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  const Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  const auto* bytes = static_cast<const uint8_t*>(values.const_data_ptr());
  return {{"shape", values.sizes().vec()},
          {"values", Json::binary({bytes, bytes + values.nbytes()})}};
}

Tensor unpack(const Json& json, Device device) {
  if (json.is_null()) return {};
  const auto shape = json.at("shape").get<std::vector<int64_t>>();
  const std::vector<uint8_t>& bytes = json.at("values").get_binary();
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || extent > kMaxTensorElements || elements * extent > kMaxTensorElements)
      throw CheckpointError(message("[saved generation] impossible shape ", shape_text(shape)));
    elements *= extent;
  }
  if (bytes.size() != static_cast<size_t>(elements) * sizeof(float))
    throw CheckpointError(message("[saved generation] a tensor of shape ", shape_text(shape),
                                  " has ", bytes.size(), " bytes"));
  Tensor values = at::empty(shape, at::kFloat);
  std::memcpy(values.mutable_data_ptr(), bytes.data(), bytes.size());
  return values.to(device);
}

Json pack(const std::optional<Image>& image) {
  if (!image) return nullptr;
  return {{"width", image->size.width},
          {"height", image->size.height},
          {"channels", image->channels},
          {"pixels", Json::binary(image->pixels)}};
}

std::optional<Image> unpack_image(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Image{{json.at("width").get<int64_t>(), json.at("height").get<int64_t>()},
               json.at("channels").get<int64_t>(),
               json.at("pixels").get_binary()};
}

Json pack_pictures(const GenerationRequest& request) {
  Json pictures = Json::object();
  visit_request_pictures([&](std::string_view name, auto member, std::string_view) {
    pictures[std::string(name)] = pack(request.*member);
  });
  for (const ControlRequest& control : request.controls)
    pictures["controls"].push_back(control_pictures_to_json(
        control, [](const Image& image) { return pack(std::optional(image)); }));
  return pictures;
}

Json pack(const std::optional<LatentImage>& latents) {
  if (!latents) return nullptr;
  return {{"width", latents->size.width},
          {"height", latents->size.height},
          {"channels", latents->channels},
          {"values", latents->values}};
}

std::optional<LatentImage> unpack_latents(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return LatentImage{json.at("channels").get<int64_t>(),
                     {json.at("width").get<int64_t>(), json.at("height").get<int64_t>()},
                     json.at("values").get<std::vector<float>>()};
}

Json pack(const sampling::History& history) {
  Json tensors = Json::array();
  for (const Tensor& tensor : history.tensors) tensors.push_back(pack(tensor));
  return {{"tensors", tensors},
          {"scalars", history.scalars},
          {"count", history.count},
          {"progress", history.progress}};
}

sampling::History unpack_history(const Json& json, Device device) {
  sampling::History history;
  for (const Json& tensor : json.at("tensors")) history.tensors.push_back(unpack(tensor, device));
  history.scalars = json.at("scalars").get<std::vector<double>>();
  history.count = json.at("count").get<int64_t>();
  history.progress = json.at("progress").get<double>();
  return history;
}

Json pack(const std::optional<MaskedSource>& masked) {
  if (!masked) return nullptr;
  return {{"latents", pack(masked->latents)},
          {"noise", pack(masked->noise)},
          {"mask", pack(masked->mask)}};
}

std::optional<MaskedSource> unpack_masked(const Json& json, Device device) {
  if (json.is_null()) return std::nullopt;
  return MaskedSource{unpack(json.at("latents"), device), unpack(json.at("noise"), device),
                      unpack(json.at("mask"), device)};
}

/// What a generation belongs to: the same file in the same dtype on the same kind of device.
Json model_identity(const ModelInfo& info) {
  return {info.family, info.variant, info.source, info.device, info.dtype};
}

GenerationRequest unpack_request(const Json& saved) {
  GenerationRequest request = request_from_json(saved.at("request"));
  visit_request_pictures([&](std::string_view name, auto member, std::string_view) {
    request.*member = unpack_image(saved.at("pictures").at(std::string(name)));
  });
  request.latents = unpack_latents(saved.at("source_latents"));
  for (size_t i = 0; i < request.controls.size(); ++i)
    visit_control_pictures_json(
        saved.at("pictures").at("controls").at(i),
        [&](const std::string&, auto member, const Json& picture) {
          (request.controls[i].*member).push_back(unpack_image(picture).value_or(Image{}));
        });
  return request;
}

void check_origin(const Json& progress, const ModelInfo& info) {
  if (progress.at("format") != kFormat)
    throw CheckpointError(message("[saved generation] expected format ", kFormat, " but got ",
                                  progress.at("format").dump()));
  if (progress.at("model") != model_identity(info))
    throw CheckpointError(message("[saved generation] it belongs to the model ",
                                  progress.at("model").dump(), " but this is ",
                                  model_identity(info).dump()));
}

Generation unpack_generation(ImageModel& model, GenerationRequest given, const Json& saved) {
  check_origin(saved, model.info());
  PlannedRequest planned = plan_request(std::move(given), model.info());
  const auto pass = saved.at("pass").get<int64_t>();
  if (pass > 0 && !planned.request.hires_scale)
    throw CheckpointError("[saved generation] a second pass without hires_scale");
  if (pass > 0) planned.plan = plan_second_pass(planned.request, model.info()).plan;
  const Device device = model.device();
  Generation generation{
      .request = std::move(planned.request),
      .plan = std::move(planned.plan),
      .first_step = saved.at("first_step").get<int64_t>(),
      .end_step = saved.at("end_step").get<int64_t>(),
      .next_step = saved.at("next_step").get<int64_t>(),
      .pass = pass,
      .steps_before = saved.at("steps_before").get<int64_t>(),
      .steps_after = saved.at("steps_after").get<int64_t>(),
      .latents = unpack(saved.at("latents"), device),
      .denoised = unpack(saved.at("denoised"), device),
      .history = unpack_history(saved.at("history"), device),
      .noise =
          NoiseSource::restore(saved.at("seed").get<uint64_t>(), saved.at("noise").get_binary()),
      .masked = unpack_masked(saved.at("masked"), device),
      .input_channels = unpack(saved.at("input_channels"), device),
      .reference = unpack(saved.at("reference"), device),
      .batched = saved.at("batched").get<bool>(),
  };
  if (generation.first_step < 0 || generation.next_step < generation.first_step ||
      generation.next_step > generation.end_step ||
      generation.end_step > generation.plan.step_count() || !generation.latents.defined() ||
      generation.latents.dim() != 4)
    throw CheckpointError("[saved generation] the step or the latents do not fit the request");
  return generation;
}

}  // namespace

Json save_progress(const Generation& generation, const ModelInfo& info) {
  return {{"format", kFormat},
          {"model", model_identity(info)},
          {"first_step", generation.first_step},
          {"end_step", generation.end_step},
          {"next_step", generation.next_step},
          {"pass", generation.pass},
          {"steps_before", generation.steps_before},
          {"steps_after", generation.steps_after},
          {"latents", pack(generation.latents)},
          {"denoised", pack(generation.denoised)},
          {"history", pack(generation.history)},
          {"seed", generation.noise.seed()},
          {"noise", Json::binary(generation.noise.state())},
          {"masked", pack(generation.masked)},
          {"input_channels", pack(generation.input_channels)},
          {"reference", pack(generation.reference)},
          {"batched", generation.batched}};
}

std::vector<uint8_t> save(const Generation& generation, const ModelInfo& info) {
  return seal({{"request", request_to_json(generation.request)},
               {"pictures", pack_pictures(generation.request)},
               {"source_latents", pack(generation.request.latents)},
               {"progress", save_progress(generation, info)}});
}

Generation restore(ImageModel& model, GenerationRequest request, const Json& progress) {
  const Computing computing(model);
  try {
    Generation generation = unpack_generation(model, std::move(request), progress);
    restore_conditions(model, generation);
    return generation;
  } catch (const Json::exception& error) {
    throw CheckpointError(message("[saved generation] damaged bytes: ", error.what()));
  }
}

Generation restore(ImageModel& model, std::span<const uint8_t> bytes) {
  const Json saved = unseal(bytes, "saved generation");
  try {
    return restore(model, unpack_request(saved), saved.at("progress"));
  } catch (const Json::exception& error) {
    throw CheckpointError(message("[saved generation] damaged bytes: ", error.what()));
  }
}

}  // namespace sdrbee
