#include "sdrbee/models/common/component_formats.h"

#include <array>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/ldm_rename_table.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/common/t5_rename_table.h"

namespace sdrbee {
namespace {

using io::Component;
using io::LoneComponent;
using io::RenamedWeights;
using io::RenameRule;
using io::RenameVerb;
using Source = std::shared_ptr<const io::WeightSource>;

constexpr std::array kFormats = {
    io::ComponentFormat{"an autoencoder", "vae=", &find_autoencoder},
    io::ComponentFormat{"a CLIP text encoder", "text_encoder= or text_encoder_2=",
                        [](const Source& file) { return find_clip_text(file); }},
    io::ComponentFormat{"a T5 text encoder", "text_encoder_2= (FLUX.1) or text_encoder_3= (SD 3)",
                        &find_t5},
    io::ComponentFormat{"a Qwen3 text encoder", "text_encoder= (Z-Image, FLUX.2)", &find_qwen3},
};

Source renamed(const Source& source, const std::vector<RenameRule>& rules) {
  return std::make_shared<RenamedWeights>(source, rules);
}

LoneComponent text_encoder(const char* class_name, Source weights, ReadConfig config) {
  return {.component = {.name = "text_encoder",
                        .library = "transformers",
                        .class_name = class_name,
                        .config = std::move(config.told),
                        .weights = std::move(weights),
                        .folder = {}},
          .untold = std::move(config.untold)};
}

/// Rules that leave of a whole CLIP its text encoder.
std::vector<RenameRule> text_only(bool projected) {
  std::vector<RenameRule> rules;
  for (const char* name : {"vision_model.", "visual.", "visual_projection.weight", "logit_scale"})
    rules.push_back({name, {}, RenameVerb::Drop});
  if (!projected) rules.push_back({"text_projection.weight", {}, RenameVerb::Drop});
  return rules;
}

/// The weights under transformers' names.
Source open_clip_weights(const Source& file) {
  const int64_t layers = count_numbered(*file, "transformer.resblocks.", ".ln_1.weight");
  const auto norm = file->find("ln_final.weight");
  const bool penultimate_only = layers == 24 && norm && norm->shape == std::vector<int64_t>{1024};
  return renamed(file, ldm::open_clip_rules(layers, penultimate_only));
}

}  // namespace

std::optional<LoneComponent> find_autoencoder(const Source& file) {
  for (const char* prefix : {"", "first_stage_model.", "vae."}) {
    const std::string conv_in = message(prefix, "encoder.conv_in.weight");
    if (!file->find(conv_in)) continue;
    Source weights = below(file, prefix);
    if (weights->find("encoder.down.0.block.0.norm1.weight"))
      weights = renamed(
          weights,
          ldm::vae_rules(count_numbered(*weights, "encoder.down.", ".block.0.norm1.weight"),
                         count_numbered(*weights, "encoder.down.0.block.", ".norm1.weight")));
    else if (!weights->find("encoder.down_blocks.0.resnets.0.norm1.weight"))
      continue;
    weights = io::with_current_names(weights, "AutoencoderKL");
    const bool packed = weights->find("bn.running_mean").has_value();  // FLUX.2's
    if (packed)
      weights = renamed(weights, {{"encoder.quant_conv.", {"quant_conv."}},
                                  {"decoder.post_quant_conv.", {"post_quant_conv."}}});
    ReadConfig config = read_autoencoder_config(*weights);
    return LoneComponent{
        .component = {.name = "vae",
                      .library = "diffusers",
                      .class_name = packed ? "AutoencoderKLFlux2" : "AutoencoderKL",
                      .config = std::move(config.told),
                      .weights = std::move(weights),
                      .folder = {}},
        .untold = std::move(config.untold)};
  }
  return std::nullopt;
}

std::optional<LoneComponent> find_clip_text(const Source& file, bool projected) {
  const bool open_clip = file->find("transformer.resblocks.0.ln_1.weight").has_value();
  const Source stored = open_clip ? open_clip_weights(file) : file;
  const Source weights =
      io::with_current_names(renamed(stored, text_only(projected)), "CLIPTextModel");
  if (!weights->find("encoder.layers.0.self_attn.q_proj.weight") ||
      !weights->find("embeddings.token_embedding.weight"))
    return std::nullopt;
  projected = weights->find("text_projection.weight").has_value();
  return text_encoder(projected ? "CLIPTextModelWithProjection" : "CLIPTextModel", weights,
                      read_clip_text_config(*weights));
}

std::optional<LoneComponent> find_t5(const Source& file) {
  Source weights = file;
  if (file->find("enc.blk.0.attn_q.weight"))
    weights = renamed(file, t5_llama_rules(count_numbered(*file, "enc.blk.", ".attn_q.weight")));
  if (!weights->find("encoder.block.0.layer.0.SelfAttention.q.weight")) return std::nullopt;
  // Some exporters store the shared table under its second name.
  if (!weights->find("shared.weight") && weights->find("encoder.embed_tokens.weight"))
    weights = renamed(weights, {{"encoder.embed_tokens.weight", {"shared.weight"}}});
  else
    weights = renamed(weights, {{"encoder.embed_tokens.weight", {}, RenameVerb::Drop}});
  return text_encoder("T5EncoderModel", weights, read_t5_config(*weights));
}

std::optional<LoneComponent> find_qwen3(const Source& file) {
  const Source weights =
      io::with_current_names(renamed(file, {{"lm_head.", {}, RenameVerb::Drop}}), "Qwen3Model");
  if (!weights->find("layers.0.self_attn.q_norm.weight") || !weights->find("embed_tokens.weight"))
    return std::nullopt;
  return text_encoder("Qwen3Model", weights, read_qwen3_config(*weights));
}

std::span<const io::ComponentFormat> component_formats() { return kFormats; }

}  // namespace sdrbee
