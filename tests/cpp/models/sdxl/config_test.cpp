#include "sdrbee/models/sdxl/config.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"

namespace sdrbee::sdxl {
namespace {

UnetFacts base() {
  UnetFacts facts;
  facts.context_width = 2048;
  facts.scheduler_class = "EulerDiscreteScheduler";
  facts.prediction = "epsilon";
  return facts;
}

std::string_view variant_of(const UnetFacts& facts, const LoadOptions& options = {}) {
  return find_variant(facts, unet_variants(), options).row.id;
}

TEST(XlVariants, AreToldApartByTheirConfigurations) {
  UnetFacts facts = base();
  EXPECT_EQ(variant_of(facts), "xl");
  facts.native_inpaint = true;
  EXPECT_EQ(variant_of(facts), "xl-inpaint");
  facts = base();
  facts.aesthetic_score = true;
  EXPECT_EQ(variant_of(facts), "xl-refiner");
  facts = base();
  facts.distilled_guidance = true;
  EXPECT_EQ(variant_of(facts), "xl-lcm");
  facts = base();
  facts.trailing = true;
  EXPECT_EQ(variant_of(facts), "xl-lightning");
  facts.scheduler_class = "EulerAncestralDiscreteScheduler";
  EXPECT_EQ(variant_of(facts), "turbo");
  facts.prediction = "v_prediction";  // trailing for its zero terminal SNR
  EXPECT_EQ(variant_of(facts), "xl");
}

TEST(XlVariants, AreAnOptionWhereTheFilesCantTell) {
  LoadOptions options;
  for (const char* name : {"turbo", "xl-lightning", "xl"}) {
    options.variant = name;
    EXPECT_EQ(variant_of(base(), options), name);
  }
}

TEST(XlVariants, AreRefusedForNetworksOfOtherInputs) {
  LoadOptions options;
  for (const char* name : {"xl-inpaint", "xl-lcm", "xl-refiner"}) {
    options.variant = name;
    try {
      variant_of(base(), options);
      ADD_FAILURE() << name << " was accepted";
    } catch (const InvalidRequest& error) {
      const std::string text = error.what();
      EXPECT_TRUE(text.starts_with(message("[variant] '", name, "'"))) << text;
      EXPECT_TRUE(text.ends_with("'turbo', 'xl-lightning', 'xl'")) << text;
    }
  }
}

TEST(XlVariants, CanBeWhatTheFileCallsItself) {
  UnetFacts facts = base();
  facts.architecture = "stable-diffusion-xl-turbo-v1";
  EXPECT_EQ(variant_of(facts), "turbo");
  facts.architecture = "stable-diffusion-xl-v1-refiner";  // which its network can't be
  EXPECT_EQ(variant_of(facts), "xl");
  LoadOptions options;
  options.variant = "xl-lightning";
  facts.architecture = "stable-diffusion-xl-turbo-v1";
  EXPECT_EQ(variant_of(facts, options), "xl-lightning");
}

TEST(XlVariants, StartAtTheDefaultsOfTheirPublishers) {
  LoadOptions options;
  options.variant = "turbo";
  const UnetVariant& turbo = find_variant(base(), unet_variants(), options);
  EXPECT_EQ(turbo.text_to_image.steps, 1);
  EXPECT_EQ(turbo.text_to_image.guidance_scale, 0.0);
  EXPECT_EQ(turbo.sample_size, 64);
  EXPECT_EQ(turbo.spacing, "trailing");
}

}  // namespace
}  // namespace sdrbee::sdxl
