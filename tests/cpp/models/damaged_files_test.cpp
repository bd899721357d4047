// Files of models and components with a flipped bit or without their end: a typed error, or the
// tensors of the whole file. GgufFile and SafetensorsFile have such tests of their own; here is
// what is built on them.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>

#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/component_override.h"
#include "sdrbee/io/gguf_writer.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/registry.h"

namespace sdrbee {
namespace {

namespace fs = std::filesystem;
using io::testing::read_text;
using io::testing::TemporaryFolder;
using io::testing::write_text;
using Shapes = std::map<std::string, std::vector<int64_t>>;
using Tensors = std::map<std::string, Tensor>;
using Parts = std::map<std::string, std::shared_ptr<const io::WeightSource>>;
using Open = std::function<Parts(const fs::path&)>;

constexpr int64_t kWidth = 32;

// Each tensor is in another stretch of GGUF's alignment as another type would be. One block of each
// kind and few rows are enough: no network is built of them.
const Shapes kFlux = {{"img_in.weight", {128, 16}},
                      {"txt_in.weight", {128, 3}},
                      {"vector_in.in_layer.weight", {128, 2}},
                      {"final_layer.adaLN_modulation.1.weight", {4, kWidth}},
                      {"final_layer.linear.weight", {16, 2}},
                      {"double_blocks.0.img_mod.lin.weight", {6, kWidth}},
                      {"double_blocks.0.img_attn.norm.query_norm.scale", {128}},
                      {"double_blocks.0.img_attn.norm.key_norm.scale", {128}},
                      {"double_blocks.0.img_attn.qkv.weight", {3, kWidth}},
                      {"double_blocks.0.img_attn.qkv.bias", {96}},
                      {"single_blocks.0.linear1.weight", {14, kWidth}}};
const Shapes kSd3 = {
    {"model.diffusion_model.pos_embed", {1, 4, kWidth}},
    {"model.diffusion_model.x_embedder.proj.weight", {kWidth, 16, 2, 2}},
    {"model.diffusion_model.context_embedder.weight", {kWidth, 12}},
    {"model.diffusion_model.y_embedder.mlp.0.weight", {kWidth, 8}},
    {"model.diffusion_model.final_layer.linear.weight", {64, kWidth}},
    {"model.diffusion_model.joint_blocks.0.x_block.attn.ln_q.weight", {16}},
    {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", {3 * kWidth, kWidth}},
    {"model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.weight", {4, kWidth}}};
const Shapes kAutoencoder = {{"encoder.conv_in.weight", {8, 3, 3, 3}},
                             {"encoder.down_blocks.0.resnets.0.norm1.weight", {8}},
                             {"encoder.down_blocks.0.resnets.0.conv1.weight", {8, 8, 3, 3}},
                             {"encoder.down_blocks.0.resnets.0.conv2.weight", {8, 8, 3, 3}},
                             {"decoder.conv_in.weight", {8, 4, 3, 3}},
                             {"decoder.conv_out.weight", {3, 8, 3, 3}}};
const Shapes kT5 = {
    {"token_embd.weight", {40, kWidth}},           {"enc.output_norm.weight", {kWidth}},
    {"enc.blk.0.attn_q.weight", {kWidth, kWidth}}, {"enc.blk.0.attn_rel_b.weight", {32, 4}},
    {"enc.blk.0.ffn_gate.weight", {64, kWidth}},   {"enc.blk.0.ffn_down.weight", {kWidth, 64}}};

Tensors tensors_of(const Shapes& shapes) {
  Tensors tensors;
  double first = 0;
  for (const auto& [name, shape] : shapes) {
    const int64_t count = c10::multiply_integers(shape);
    tensors[name] = at::arange(count).add(first++).to(Dtype::Float).div(count).reshape(shape);
  }
  return tensors;
}

void write_gguf(const fs::path& path, const Shapes& shapes, uint32_t version,
                const std::string& architecture) {
  std::map<std::string, io::QuantisedTensor> tensors;
  for (const auto& [name, tensor] : tensors_of(shapes)) {
    const bool matrix = tensor.dim() > 1 && tensor.size(-1) % kWidth == 0;
    tensors[name] = matrix ? io::quantise(tensor, io::GgmlType::Q8_0) : io::as_blocks(tensor);
  }
  io::write_gguf(path, tensors, {{io::kArchitectureKey, architecture}});
  std::string content = read_text(path);
  content[io::kGgufMagic.size()] = static_cast<char>(version);
  write_text(path, content);
}

io::CheckpointOptions formats() {
  return {.models = Registry::single_file_formats(),
          .components = component_formats(),
          .variant = {},
          .overrides = {}};
}

Parts open_model(const fs::path& path) {
  const io::Checkpoint checkpoint = io::Checkpoint::open(path, formats());
  Parts parts;
  for (const io::Component& part : checkpoint.components())
    if (part.weights) parts[part.name] = part.weights;
  return parts;
}

Open as_component(const io::ComponentKind& kind) {
  return [kind](const fs::path& path) -> Parts {
    const io::OverrideSlot slot = {.kind = kind, .untold = io::Json::object()};
    return {{kind.name, io::open_override(path, slot, formats()).component.weights}};
  };
}

const Open kAsVae = as_component({"vae", "diffusers", "AutoencoderKL"});
const Open kAsT5 = as_component({"text_encoder_3", "transformers", "T5EncoderModel"});

/// What a network does: takes the tensors that it knows, with their shapes, and nothing else.
Tensors take_all(const io::WeightSource& source, const Tensors& expected) {
  io::WeightLedger ledger;
  const io::WeightScope scope(source, ledger, Dtype::Float, c10::kCPU);
  Tensors taken;
  for (const auto& [name, tensor] : expected) taken[name] = scope.take(name, tensor.sizes());
  ledger.check_all_taken(source);
  return taken;
}

/// One file that is damaged in every way.
class DamagedFile {
 public:
  DamagedFile(fs::path path, Open open) : path_(std::move(path)), open_(std::move(open)) {
    good_ = read_text(path_);
    for (const auto& [part, source] : open_(path_))
      for (const std::string& name : source->names())
        expected_[part][name] = source->read(name).to(Dtype::Float).clone();
    EXPECT_FALSE(refused());
  }

  void flip_every_bit(size_t begin, size_t end) {
    size_t refusals = 0;
    for (size_t bit = 8 * begin; bit < 8 * end; ++bit) {
      put(bit / 8, static_cast<char>(good_[bit / 8] ^ (1 << (bit % 8))));
      refusals += refused() ? 1 : 0;
      put(bit / 8, good_[bit / 8]);
      ASSERT_FALSE(::testing::Test::HasFailure()) << "bit " << bit;
    }
    EXPECT_GT(refusals, 4 * (end - begin)) << "of " << 8 * (end - begin);
  }

  void truncate_everywhere() {
    for (size_t length = 0; length < good_.size(); length += 64) {
      write_text(path_, good_.substr(0, length));
      EXPECT_TRUE(refused()) << length;
    }
  }

  const std::string& good() const { return good_; }

 private:
  void put(size_t position, char byte) {
    std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(position))
        .put(byte);
  }

  /// Whether there is a typed error; without one the tensors must be those of the whole file.
  bool refused() {
    try {
      const Parts parts = open_(path_);
      for (const auto& [part, tensors] : expected_) {
        const auto found = parts.find(part);
        if (found == parts.end()) return true;  // whoever asks for it is told so
        const Tensors taken = take_all(*found->second, tensors);
        for (const auto& [name, tensor] : tensors)
          EXPECT_TRUE(at::equal(taken.at(name), tensor)) << name;
      }
    } catch (const CheckpointError&) {
      return true;
    } catch (const UnsupportedModel&) {
      return true;
    }
    return false;
  }

  fs::path path_;
  Open open_;
  std::string good_;
  std::map<std::string, Tensors> expected_;
};

void damage_safetensors(const Tensors& tensors, const Open& open) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m.safetensors";
  io::write_safetensors(path, tensors);
  DamagedFile file(path, open);
  file.flip_every_bit(0, file.good().find("}}") + 2);
  file.truncate_everywhere();
}

void damage_gguf(const Shapes& shapes, uint32_t version, const std::string& architecture,
                 const Open& open) {
  const TemporaryFolder folder;
  write_gguf(folder / "m.gguf", shapes, version, architecture);
  DamagedFile file(folder / "m.gguf", open);
  file.flip_every_bit(0, io::parse_gguf_header(file.good(), "m.gguf").data_offset);
  file.truncate_everywhere();
}

TEST(DamagedFiles, OfFlux) { damage_safetensors(tensors_of(kFlux), open_model); }
TEST(DamagedFiles, OfSd3) { damage_safetensors(tensors_of(kSd3), open_model); }
TEST(DamagedFiles, OfAnAutoencoder) { damage_safetensors(tensors_of(kAutoencoder), kAsVae); }
TEST(DamagedFiles, OfFluxInGgufV2) { damage_gguf(kFlux, 2, "flux", open_model); }
TEST(DamagedFiles, OfSd3InGgufV3) { damage_gguf(kSd3, 3, "sd3", open_model); }
TEST(DamagedFiles, OfT5InGguf) { damage_gguf(kT5, 3, "t5encoder", kAsT5); }

TEST(DamagedFiles, WithScaledWeights) {
  Tensors tensors = tensors_of(kFlux);
  for (const std::string layer : {"double_blocks.0.img_attn.qkv", "single_blocks.0.linear1"}) {
    Tensor& weight = tensors.at(layer + ".weight");
    weight = weight.to(Dtype::Float8_e4m3fn);
    tensors[layer + ".scale_weight"] = at::scalar_tensor(0.5, at::kFloat);
  }
  tensors["scaled_fp8"] = at::full({2}, 0.0).to(Dtype::Float8_e4m3fn);
  damage_safetensors(tensors, open_model);
}

TEST(DamagedFiles, InShards) {
  const TemporaryFolder folder;
  const Tensors tensors = tensors_of(kAutoencoder);
  std::map<std::string, Tensors> shards;
  io::Json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", io::Json::object()}};
  for (const auto& [name, tensor] : tensors) {
    const std::string shard = name.starts_with("encoder.") ? "a.safetensors" : "b.safetensors";
    shards[shard][name] = tensor;
    index["weight_map"][name] = shard;
  }
  for (const auto& [shard, part] : shards) io::write_safetensors(folder / shard, part);
  write_text(folder / "m.safetensors.index.json", index.dump());
  DamagedFile file(folder / "m.safetensors.index.json", kAsVae);
  file.flip_every_bit(0, file.good().size());
  file.truncate_everywhere();
}

}  // namespace
}  // namespace sdrbee
