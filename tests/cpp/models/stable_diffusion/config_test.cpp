#include "sdrbee/models/stable_diffusion/config.h"

#include <gtest/gtest.h>

namespace sdrbee::stable_diffusion {
namespace {

UnetFacts of_width(int64_t context_width, const char* prediction = "epsilon") {
  UnetFacts facts;
  facts.context_width = context_width;
  facts.prediction = prediction;
  return facts;
}

std::string_view variant_of(const UnetFacts& facts) {
  return find_variant(facts, unet_variants(), {}).row.id;
}

TEST(StableDiffusionVariants, AreToldApartByTheirConfigurations) {
  EXPECT_EQ(variant_of(of_width(768)), "v1-5");
  EXPECT_EQ(variant_of(of_width(1024)), "v2-1-base");
  EXPECT_EQ(variant_of(of_width(1024, "v_prediction")), "v2-1");
  EXPECT_EQ(variant_of(of_width(64)), "custom");
  for (const auto& [width, inpaint] : {std::pair{768, "v1-5-inpaint"}, {1024, "v2-inpaint"}}) {
    UnetFacts facts = of_width(width);
    facts.native_inpaint = true;
    EXPECT_EQ(variant_of(facts), inpaint);
  }
  UnetFacts facts = of_width(768);
  facts.distilled_guidance = true;
  EXPECT_EQ(variant_of(facts), "v1-5-lcm");
}

TEST(StableDiffusionVariants, TurboEndsItsTimestepsAtTheLastOne) {
  UnetFacts facts = of_width(1024);
  facts.trailing = true;
  EXPECT_EQ(variant_of(facts), "sd-turbo");
  facts.prediction = "v_prediction";
  EXPECT_EQ(variant_of(facts), "v2-1");
}

}  // namespace
}  // namespace sdrbee::stable_diffusion
