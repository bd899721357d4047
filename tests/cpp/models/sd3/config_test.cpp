#include "sdrbee/models/sd3/config.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"

namespace sdrbee::sd3 {
namespace {

TransformerConfig network(int64_t heads, bool qk_norm) {
  TransformerConfig config;
  config.num_attention_heads = heads;
  config.qk_norm = qk_norm;
  return config;
}

TEST(Sd3Variants, AreToldByWidthAndNorms) {
  EXPECT_EQ(find_variant(network(24, false), "").row.id, "sd3-medium");
  EXPECT_EQ(find_variant(network(24, true), "").row.id, "sd3.5-medium");
  EXPECT_EQ(find_variant(network(38, true), "").row.id, "sd3.5-large");
  EXPECT_EQ(find_variant(network(7, true), "").row.id, "custom");
}

TEST(Sd3Variants, TurboIsToldByItsNameOnly) {
  const Variant& large = find_variant(network(38, true), "");
  EXPECT_EQ(large.looks_like, "sd3.5-large-turbo");
  const Variant& turbo = find_variant(network(38, true), "sd3.5-large-turbo");
  EXPECT_EQ(turbo.text_to_image, (ModeDefaults{4, 0.0, 1.0}));
}

TEST(Sd3Variants, RefuseANameThatDoesNotFit) {
  EXPECT_THROW(find_variant(network(24, true), "sd3.5-large-turbo"), InvalidRequest);
  EXPECT_THROW(find_variant(network(24, true), "sd3-medium"), InvalidRequest);
}

TEST(Sd3Variants, LastRowTakesEveryNetwork) {
  EXPECT_EQ(find_variant(network(38, true), "custom").row.id, variants().back().id);
}

}  // namespace
}  // namespace sdrbee::sd3
