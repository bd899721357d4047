#include "sdrbee/models/sd3/patch_embedding.h"

#include "sdrbee/core/check.h"

namespace sdrbee::sd3 {

PatchEmbedding::PatchEmbedding(const io::WeightScope& scope, const Shape& shape)
    : shape_(shape),
      proj_(scope / "proj", shape.channels, shape.width, shape.patch_size,
            {.stride = shape.patch_size}) {
  if (shape.max_side > 0)
    pos_embed_.emplace(
        scope, "pos_embed",
        std::initializer_list<int64_t>{1, shape.max_side * shape.max_side, shape.width});
}

Tensor PatchEmbedding::operator()(const Tensor& latents) const {
  const int64_t rows = latents.size(2) / shape_.patch_size;
  const int64_t columns = latents.size(3) / shape_.patch_size;
  // [B, width, rows, columns] -> [B, rows * columns, width]
  const Tensor patches = proj_(latents).flatten(2).transpose(1, 2);
  if (!pos_embed_) return patches.contiguous();
  const int64_t side = shape_.max_side;
  SDRBEE_CHECK(rows <= side && columns <= side, shape_text(latents.sizes()));
  const Tensor positions = pos_embed_->part([&](const Tensor& all) {
    return all.view({side, side, -1})
        .narrow(0, (side - rows) / 2, rows)
        .narrow(1, (side - columns) / 2, columns)
        .reshape({1, rows * columns, -1});
  });
  return (patches + positions).contiguous();
}

}  // namespace sdrbee::sd3
