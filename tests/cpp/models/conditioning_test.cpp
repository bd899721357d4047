#include "sdrbee/models/conditioning.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <array>

#include "sdrbee/models/image_model.h"

namespace sdrbee {
namespace {

Conditioning with_value(double value) {
  return {.context = at::full({1, 77, 8}, value),
          .pooled = at::full({1, 4}, value),
          .time_ids = at::full({1, 6}, value),
          .guidance = at::full({1}, value, at::kDouble),
          .channels = at::full({1, 5, 2, 3}, value)};
}

TEST(Conditioning, StacksEveryPart) {
  const Conditioning first = with_value(1);
  const Conditioning second = with_value(2);
  const std::array rows = {&first, &second};
  const Conditioning stacked = stack(rows);
  for (const Tensor& part :
       {stacked.context, stacked.pooled, stacked.time_ids, stacked.guidance, stacked.channels}) {
    EXPECT_EQ(part.size(0), 2);
    EXPECT_EQ(part[0].min().item<double>(), 1);
    EXPECT_EQ(part[1].max().item<double>(), 2);
  }
}

TEST(Conditioning, LeavesUndefinedWhatNoRowHas) {
  const Conditioning only_text = {.context = at::full({1, 77, 8}, 1.0)};
  const std::array rows = {&only_text, &only_text};
  const Conditioning stacked = stack(rows);
  EXPECT_EQ(stacked.context.size(0), 2);
  EXPECT_FALSE(stacked.pooled.defined());
  EXPECT_FALSE(stacked.channels.defined());
}

TEST(MaskByCells, TakesTheFirstPixelOfEachCell) {
  Tensor mask = at::full({1, 1, 4, 6}, 0.0);
  mask.select(2, 0).select(2, 4).fill_(1);  // row 0, column 4: the first pixel of cell (0, 2)
  mask.select(2, 3).select(2, 3).fill_(1);  // row 3, column 3: not the first one of its cell
  const Tensor cells = mask_by_cells(mask, 2);
  EXPECT_EQ(cells.sizes(), (std::vector<int64_t>{1, 1, 2, 3}));
  EXPECT_EQ(cells.sum().item<double>(), 1);
  EXPECT_EQ(cells[0][0][0][2].item<double>(), 1);
}

}  // namespace
}  // namespace sdrbee
