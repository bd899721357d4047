#include "sdrbee/models/common/joint_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/rope.h"
#include "support/memory_weights.h"

namespace sdrbee {
namespace {

using test::largest_difference;
using test::MemoryWeights;
using test::random_tensor;

constexpr double kFp32 = 1e-5;
constexpr AttentionConfig kPlain = {.heads = 2, .head_width = 4, .qk_norm = false, .bias = false};
constexpr AttentionConfig kNormed = {.heads = 2, .head_width = 4, .bias = false};

/// Weights that are the same for text and picture.
MemoryWeights twin_weights() {
  std::map<std::string, Tensor> tensors;
  uint64_t seed = 1;
  for (const auto& [own, added] :
       {std::pair{"to_q", "add_q_proj"}, {"to_k", "add_k_proj"}, {"to_v", "add_v_proj"}})
    tensors[std::string(own) + ".weight"] = tensors[std::string(added) + ".weight"] =
        random_tensor({8, 8}, seed++);
  tensors["to_out.0.weight"] = tensors["to_add_out.weight"] = random_tensor({8, 8}, seed++);
  for (const auto& [own, added] : {std::pair{"norm_q", "norm_added_q"}, {"norm_k", "norm_added_k"}})
    tensors[std::string(own) + ".weight"] = tensors[std::string(added) + ".weight"] =
        random_tensor({4}, seed++);
  return MemoryWeights(std::move(tensors));
}

Tensor rotations_of(int64_t tokens) {
  return nn::rotations(at::arange(tokens, at::kDouble).unsqueeze(1).to(test::test_device()), {4},
                       10000);
}

// With the same weights on both sides it is one sequence's attention.
TEST(JointAttention, IsSelfAttentionOverBothSequences) {
  const MemoryWeights weights = twin_weights();
  const JointTokens tokens{.text = random_tensor({2, 3, 8}, 20),
                           .picture = random_tensor({2, 5, 8}, 21)};
  const Tensor joined = at::cat({tokens.text, tokens.picture}, 1);
  for (const AttentionConfig& config : {kPlain, kNormed}) {
    const Tensor whole = SelfAttention(weights.scope(), config)(joined, rotations_of(8));
    const JointTokens parts = JointAttention(weights.scope(), config)(tokens, rotations_of(8));
    EXPECT_LT(largest_difference(at::cat({parts.text, parts.picture}, 1), whole), kFp32);
  }
}

TEST(JointAttention, GivesTheSameInEitherOrder) {
  const MemoryWeights weights = twin_weights();
  const JointTokens tokens{.text = random_tensor({1, 3, 8}, 20),
                           .picture = random_tensor({1, 5, 8}, 21)};
  const JointTokens text_first = JointAttention(weights.scope(), kNormed)(tokens, rotations_of(8));
  const JointTokens picture_first =
      JointAttention(weights.scope(), kNormed, {.picture_first = true})(tokens, rotations_of(8));
  EXPECT_LT(largest_difference(picture_first.text, text_first.text), kFp32);
  EXPECT_LT(largest_difference(picture_first.picture, text_first.picture), kFp32);
}

// Where the text ends here, its layer behind the attention is not in the file.
TEST(JointAttention, LeavesTheTextsLayerOut) {
  const MemoryWeights weights = twin_weights();
  const JointAttention attention(weights.scope(), kNormed, {.text_out = false});
  EXPECT_THROW(weights.ledger().check_all_taken(weights), CheckpointError);
  const JointTokens tokens{.text = random_tensor({1, 3, 8}, 20),
                           .picture = random_tensor({1, 5, 8}, 21)};
  EXPECT_FALSE(attention(tokens).text.defined());
}

TEST(JointAttention, AsksForBiasesAndNormsThatTheNetworkHas) {
  const MemoryWeights weights = twin_weights();
  EXPECT_THROW(JointAttention(weights.scope(), {.heads = 2, .head_width = 4}), CheckpointError);
  EXPECT_THROW(SelfAttention(weights.scope(), {.heads = 4, .head_width = 2, .bias = false}),
               CheckpointError);
}

// For projections that are fused with other layers: q, normalised over each head, then turned.
TEST(QkNorm, NormalisesHeadsThenTurnsThem) {
  const MemoryWeights weights = twin_weights();
  const QkNorm norm(weights.scope(), kNormed);
  const Tensor raw = random_tensor({1, 5, 8}, 30);
  const Tensor heads = nn::RmsNorm(weights.scope() / "norm_k", 4, 1e-6)(raw.view({1, 5, 2, 4}));
  const Tensor turned = nn::rotate(heads, rotations_of(5)).flatten(2);
  EXPECT_LT(largest_difference(norm.keys(raw, rotations_of(5)), turned), kFp32);
  EXPECT_GT(largest_difference(norm.queries(raw, rotations_of(5)), turned), 0.1);
}

}  // namespace
}  // namespace sdrbee
