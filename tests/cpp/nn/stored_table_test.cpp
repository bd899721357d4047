#include "sdrbee/nn/stored_table.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "sdrbee/io/load_queue.h"
#include "sdrbee/nn/embedding.h"
#include "support/memory_weights.h"

namespace sdrbee::nn {
namespace {

using test::MemoryWeights;

Tensor table(Dtype stored) { return test::random_tensor({6, 4}, 1).cpu().to(stored); }

TEST(StoredTable, ConvertsWhatIsUsedOfIt) {
  const Tensor stored = table(Dtype::Half);
  const MemoryWeights weights({{"weight", stored}});
  const StoredTable rows(weights.scope(Dtype::BFloat16), "weight", {6, 4});
  const Tensor part = rows.part([](const Tensor& all) { return all.narrow(0, 2, 3); });
  EXPECT_TRUE(at::equal(part.cpu(), stored.to(Dtype::BFloat16).narrow(0, 2, 3)));
}

TEST(StoredTable, StaysAsItIsStoredAndCountsNothing) {
  if (!test::test_device().is_cpu()) GTEST_SKIP() << "other devices get their own copy";
  const Tensor stored = table(Dtype::Half);
  const MemoryWeights weights({{"weight", stored}});
  const StoredTable rows(weights.scope(), "weight", {6, 4});
  rows.part([&](const Tensor& all) {
    EXPECT_EQ(all.const_data_ptr(), stored.const_data_ptr());
    return all;
  });
  EXPECT_EQ(weights.ledger().bytes(), 0);
}

TEST(StoredTable, EmbeddingTakesRowsOfEveryStoredType) {
  const Tensor ids = at::arange(5, -1, -2).to(Dtype::Long).view({1, 3});
  for (const Dtype stored : {Dtype::Float, Dtype::Half, Dtype::BFloat16, Dtype::Float8_e4m3fn}) {
    const Tensor values = table(stored);
    const MemoryWeights weights({{"weight", values}});
    const Embedding embedding(weights.scope(Dtype::BFloat16), 6, 4);
    const Tensor expected = values.to(Dtype::BFloat16).index_select(0, ids.view(-1));
    EXPECT_TRUE(at::equal(embedding(ids.to(test::test_device())).cpu(), expected.view({1, 3, 4})));
    EXPECT_TRUE(at::equal(embedding.first(2).cpu(), values.to(Dtype::BFloat16).narrow(0, 0, 2)));
  }
}

TEST(StoredTable, IsReadWithTheOtherWeights) {
  const MemoryWeights weights({{"weight", table(Dtype::Half)}});
  io::WeightLedger ledger;
  io::LoadQueue queue;
  const io::WeightScope scope(weights, ledger, Dtype::Float, test::test_device(), &queue);
  const Embedding embedding(scope, 6, 4);
  queue.run();
  EXPECT_EQ(embedding.first(6).size(0), 6);
}

}  // namespace
}  // namespace sdrbee::nn
