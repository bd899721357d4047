#include "sdrbee/core/block_reuse.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <thread>

#include "sdrbee/core/tensor.h"

namespace sdrbee {
namespace {

constexpr int64_t kBytes = 4 * BlockReuse::kLarge;

Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

/// Makes a tensor of so many bytes, lets it go and tells where it was.
const void* place_of(int64_t count) { return bytes(count).const_data_ptr(); }

TEST(BlockReuse, HandsABlockOnToTensorsOfItsSize) {
  const BlockReuse reuse;
  const void* const first = place_of(kBytes);
  const Tensor next = bytes(kBytes - kBytes / 16);
  EXPECT_EQ(next.const_data_ptr(), first);
  EXPECT_NE(place_of(kBytes), first);  // it is in use
}

TEST(BlockReuse, GivesNoMuchLargerBlockButForShort) {
  const BlockReuse reuse;
  const void* const first = place_of(kBytes);
  const Tensor lasting = bytes(kBytes / 2);
  EXPECT_NE(lasting.const_data_ptr(), first);
  const BlockReuse::ForShort soon_gone;
  EXPECT_EQ(bytes(kBytes / 2).const_data_ptr(), first);
}

TEST(BlockReuse, TakesTheSmallestBlockThatHolds) {
  const BlockReuse reuse;
  Tensor large = bytes(2 * kBytes);
  Tensor small = bytes(kBytes);
  const void* const place = small.const_data_ptr();
  large = Tensor();
  small = Tensor();
  const BlockReuse::ForShort soon_gone;
  EXPECT_EQ(bytes(kBytes).const_data_ptr(), place);
}

TEST(BlockReuse, TensorsOutliveItAndKeepTheirValues) {
  Tensor made;
  {
    const BlockReuse reuse;
    const void* const first = place_of(kBytes);
    made = at::full({kBytes}, 7, at::kByte);
    EXPECT_EQ(made.const_data_ptr(), first);
    for (size_t i = 0; i < 2 * BlockReuse::kMostBlocks; ++i)
      at::full({kBytes + static_cast<int64_t>(i) * kBytes}, 1, at::kByte);
  }
  for (int i = 0; i < 4; ++i) at::full({kBytes}, 2, at::kByte);
  EXPECT_TRUE(made.eq(7).all().item<bool>());
}

TEST(BlockReuse, TakesBlocksThatWereMadeBeforeItAndLeavesOtherThreadsAlone) {
  Tensor before = bytes(kBytes);
  const void* const place = before.const_data_ptr();
  const BlockReuse reuse;
  before = Tensor();
  const void* elsewhere = nullptr;
  std::thread([&] { elsewhere = place_of(kBytes); }).join();
  EXPECT_NE(elsewhere, place);
  EXPECT_EQ(place_of(kBytes), place);
}

}  // namespace
}  // namespace sdrbee
