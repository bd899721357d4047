#include "sdrbee/generation/request_adapters.h"

#include <algorithm>
#include <cmath>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/field_checks.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/lora/block_strengths.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee {
namespace {

constexpr double kMaxControlStrength = 10.0;
constexpr size_t kMaxPreprocessorLetters = 64;
constexpr size_t kMaxLoras = 32;
constexpr size_t kMaxEmbeddings = 64;

/// A control that repaints sees the source unless it is given another picture.
void resolve_repainting(GenerationRequest& request, size_t index) {
  ControlRequest& control = request.controls[index];
  if (control.type != kInpaintType) return;
  if (request.mode() != Mode::Inpaint)
    throw InvalidRequest(message("[controls[", index, "].type] '", kInpaintType,
                                 "' leaves out what is repainted: give `image` and `mask`"));
  if (control.images.empty()) control.images = {*request.image};
}

void check_pictures(const std::string& place, const ControlRequest& control) {
  if (control.images.empty())
    throw InvalidRequest(message("[", place, "image] expected a picture but got none"));
  visit_control_pictures(
      [&](std::string_view name, std::string_view plural, auto member, std::string_view) {
        const std::vector<Image>& all = control.*member;
        if (all.size() > kMaxControlPictures)
          throw InvalidRequest(message("[", place, plural, "] expected at most ",
                                       kMaxControlPictures, " pictures but got ", all.size()));
        for (size_t i = 0; i < all.size(); ++i)
          check_picture((place + picture_name(name, plural, all.size(), i)).c_str(), all[i]);
      });
  if (!control.masks.empty() && control.masks.size() != control.images.size())
    throw InvalidRequest(message("[", place, "masks] expected one for each picture, ",
                                 control.images.size(), ", but got ", control.masks.size()));
}

void check_strengths(const std::string& place, const ControlRequest& control) {
  check_number((place + "strength").c_str(), control.strength, -kMaxControlStrength,
               kMaxControlStrength);
  for (const auto& [block, factors] : control.blocks) {
    if (factors.empty())
      throw InvalidRequest(
          message("[", place, "blocks.", block, "] expected numbers but got none"));
    for (const double factor : factors)
      check_number((place + "blocks." + block).c_str(), factor, -kMaxControlStrength,
                   kMaxControlStrength);
  }
}

/// Infotexts write it between commas and colons.
void check_preprocessor(const std::string& field, const std::string& name) {
  const auto is_allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') ||
           std::string_view(" _+-.()").find(letter) != std::string_view::npos;
  };
  if (name.size() <= kMaxPreprocessorLetters && std::ranges::all_of(name, is_allowed)) return;
  throw InvalidRequest(message("[", field, "] expected a name of up to ", kMaxPreprocessorLetters,
                               " letters, digits and any of ' _+-.()' but got '",
                               name.substr(0, kMaxPreprocessorLetters), "'"));
}

void resolve_controls(GenerationRequest& request, const Capabilities& can) {
  const std::vector<ControlRequest>& controls = request.controls;
  if (controls.empty()) return;
  if (!can.controlnet)
    throw InvalidRequest("[controls] this model takes no control networks; leave them out");
  if (controls.size() > kMaxControls)
    throw InvalidRequest(
        message("[controls] expected at most ", kMaxControls, " but got ", controls.size()));
  for (size_t i = 0; i < controls.size(); ++i) {
    const ControlRequest& control = controls[i];
    const std::string place = message("controls[", i, "].");
    if (control.model.empty())
      throw InvalidRequest(message("[", place, "model] expected a ControlNet's name or path"));
    resolve_repainting(request, i);
    check_pictures(place, control);
    check_strengths(place, control);
    check_number((place + "start").c_str(), control.start, 0.0, 1.0);
    check_number((place + "end").c_str(), control.end, control.start, 1.0);
    check_choice((place + "mode").c_str(), control.mode, {"balanced", "prompt", "control"});
    if (control.guess_mode && control.softens())
      throw InvalidRequest(message("[", place, "guess_mode] expected False with mode '",
                                   control.mode, "': both weaken higher resolutions"));
    check_preprocessor(place + "preprocessor", control.preprocessor);
  }
}

void check_loras(const GenerationRequest& request, const Capabilities& can) {
  if (request.loras.empty()) return;
  if (!can.lora) throw InvalidRequest("[loras] expected none: this model doesn't take them");
  if (request.loras.size() > kMaxLoras)
    throw InvalidRequest(
        message("[loras] expected at most ", kMaxLoras, " but got ", request.loras.size()));
  for (const lora::LoraUse& use : request.loras) {
    if (use.path.empty())
      throw InvalidRequest(message("[loras] expected a file but got none for '", use.name, "'"));
    if (!std::isfinite(use.strength))
      throw InvalidRequest(
          message("[loras] expected a finite strength of '", use.name, "' but got ", use.strength));
    lora::check_block_strengths(use.name, use.blocks);
  }
}

/// Adds those of the folder whose names stand in the prompts, in the order of the names. What a
/// request names itself comes first.
void find_embeddings(GenerationRequest& request) {
  if (!request.embeddings_dir) return;
  std::optional<std::string> prompt = request.prompt;
  for (const text::EmbeddingUse& found : text::embeddings_in(*request.embeddings_dir)) {
    const auto is_named = [&](const text::EmbeddingUse& use) { return use.name == found.name; };
    bool stands = false;
    for (const auto* const text :
         {&prompt, &request.prompt_2, &request.prompt_3, &request.negative_prompt,
          &request.negative_prompt_2, &request.negative_prompt_3, &request.hires_prompt,
          &request.hires_negative_prompt})
      stands |= *text && text::has_word(**text, found.name);
    if (stands && std::ranges::none_of(request.embeddings, is_named))
      request.embeddings.push_back(found);
  }
  request.embeddings_dir.reset();
}

/// Opens the files, so that what they lack is told at once, and keeps their hashes.
void resolve_embeddings(GenerationRequest& request, const Capabilities& can) {
  if (can.embedding) find_embeddings(request);
  if (request.embeddings.empty()) return;
  if (!can.embedding)
    throw InvalidRequest("[embeddings] this model takes no textual inversions; leave them out");
  if (request.embeddings.size() > kMaxEmbeddings)
    throw InvalidRequest(message("[embeddings] expected at most ", kMaxEmbeddings, " but got ",
                                 request.embeddings.size()));
  for (text::EmbeddingUse& use : request.embeddings) {
    if (use.name.empty() || use.path.empty())
      throw InvalidRequest(message("[embeddings] expected a name and a file but got '", use.name,
                                   "' and '", use.path, "'"));
    use.sha256 = text::load_textual_inversion(use).sha256;
  }
}

}  // namespace

void resolve_adapters(GenerationRequest& request, const Capabilities& can) {
  resolve_controls(request, can);
  check_loras(request, can);
  resolve_embeddings(request, can);
}

}  // namespace sdrbee
