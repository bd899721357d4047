#include "sdrbee/generation/recipe.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <sstream>

#include "sdrbee/core/build_info.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/generation/control_pictures_json.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/models/computing.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee {
namespace {

using Json = nlohmann::json;

/// Hash of what a picture shows, whatever file format it came in.
std::string picture_sha256(const Image& image) {
  Sha256 hash;
  hash.update(message(image.size.width, "x", image.size.height, "x", image.channels, ":"));
  hash.update(std::as_bytes(std::span(image.pixels)));
  return hash.hexadecimal();
}

std::string latents_sha256(const LatentImage& latents) {
  Sha256 hash;
  hash.update(message(latents.channels, "x", latents.size.height, "x", latents.size.width, ":"));
  hash.update(std::as_bytes(std::span(latents.values)));
  return hash.hexadecimal();
}

Json environment(ImageModel& model) {
  const Computing computing(model);  // says with how many threads
  Json all = build_environment();
  all["device"] = model.info().device;
  all["dtype"] = model.info().dtype;
  return all;
}

/// The value under a path, or null.
Json value_at(const Json& recipe, const std::string& pointer) {
  return recipe.value(Json::json_pointer(pointer), Json());
}

void check_same(const Json& recipe, const std::string& pointer, const Json& now) {
  const Json recorded = value_at(recipe, pointer);
  if (recorded != now)
    throw InvalidRequest(message("[recipe ", pointer.substr(1), "] expected ", recorded.dump(),
                                 ", as when the picture was made, but this is ", now.dump(),
                                 "; the picture would not be the same"));
}

/// The name of a file or folder.
std::string last_part(const std::filesystem::path& path) {
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

template <typename T>
void put_back(const Json& recipe, const std::string& name, std::optional<T> given,
              std::string (*sha256)(const T&), std::optional<T>& field) {
  const Json recorded = value_at(recipe, "/inputs/" + name);
  if (recorded.is_null() && given)
    throw InvalidRequest(message("[", name, "] the recipe used none; leave it out"));
  if (recorded.is_null()) return;
  if (!given)
    throw InvalidRequest(message("[", name, "] the recipe used a picture with SHA-256 ",
                                 recorded.get<std::string>(), ": give it as `", name, "`"));
  const std::string now = sha256(*given);
  if (recorded != now)
    throw InvalidRequest(message("[", name, "] expected the picture with SHA-256 ",
                                 recorded.get<std::string>(), " but got one with ", now));
  field = std::move(given);
}

/// SHA-256 of the networks of a generation's controls.
Json control_hashes(const Generation& generation) {
  Json hashes = Json::array();
  for (const OpenedControl& control : generation.controls)
    hashes.push_back(control.network->sha256());
  return hashes;
}

/// What a recipe holds of the pictures of a control.
Json recorded_pictures(const Json& recipe, size_t control) {
  return value_at(recipe, message("/inputs/controls/", control));
}

/// Puts the pictures of controls back and checks that their networks are those of the recipe.
void put_controls_back(const Json& recipe, ImageModel& model, std::vector<Image> pictures,
                       std::vector<ControlRequest>& controls) {
  size_t needed = 0;
  for (size_t i = 0; i < controls.size(); ++i)
    visit_control_pictures_json(recorded_pictures(recipe, i),
                                [&](const std::string&, auto, const Json&) { ++needed; });
  if (pictures.size() != needed)
    throw InvalidRequest(message("[controls] the recipe used ", needed, " pictures but got ",
                                 pictures.size(), ": give as many as `controls`, in its order"));
  auto next = pictures.begin();
  for (size_t i = 0; i < controls.size(); ++i) {
    visit_control_pictures_json(
        recorded_pictures(recipe, i),
        [&](const std::string& name, auto member, const Json& recorded) {
          const Json now = picture_sha256(*next);
          if (recorded != now)
            throw InvalidRequest(message("[controls[", i, "].", name,
                                         "] expected the picture with SHA-256 ", recorded.dump(),
                                         " but got one with ", now.dump()));
          (controls[i].*member).push_back(std::move(*next++));
        });
    check_same(recipe, message("/controls/", i), model.control(controls[i].model)->sha256());
  }
}

/// A control's mode in the words of A1111's extension, which has no guess mode.
std::string mode_text(const ControlRequest& control) {
  if (control.guess_mode) return "";
  if (control.mode == "prompt") return ", Control Mode: My prompt is more important";
  if (control.mode == "control") return ", Control Mode: ControlNet is more important";
  return ", Control Mode: Balanced";
}

/// A control as A1111's extension writes it.
/// https://github.com/Mikubill/sd-webui-controlnet/blob/main/scripts/infotext.py
std::string control_text(const ControlRequest& control) {
  const std::string module = control.preprocessor.empty() ? "none" : control.preprocessor;
  return message("\"Module: ", module, ", Model: ", last_part(control.model),
                 ", Weight: ", control.strength, ", Guidance Start: ", control.start,
                 ", Guidance End: ", control.end, mode_text(control), "\"");
}

}  // namespace

Json build_environment() {
  return {{"threads", thread_count()},
          {"cpu", cpu_level()},
          {"torch", torch_version()},
          {"sdrbee", sdrbee_version()}};
}

Json input_hashes(const GenerationRequest& request) {
  Json inputs = Json::object();
  visit_request_pictures([&](std::string_view name, auto member, std::string_view) {
    if (request.*member) inputs[std::string(name)] = picture_sha256(*(request.*member));
  });
  if (request.latents) inputs["latents"] = latents_sha256(*request.latents);
  for (const ControlRequest& control : request.controls)
    inputs["controls"].push_back(control_pictures_to_json(control, picture_sha256));
  return inputs;
}

Json make_recipe(ImageModel& model, const Generation& generation) {
  const GenerationRequest& request = generation.request;
  const ModelInfo& info = model.info();
  Json source = {{"source", info.source},
                 {"family", info.family},
                 {"variant", info.variant},
                 {"sha256", model.sha256()}};
  if (!info.components.empty()) source["components"] = info.components;
  Json recipe = {{"request", request_to_json(request)},
                 {"model", std::move(source)},
                 {"inputs", input_hashes(request)},
                 {"environment", environment(model)},
                 {"batched", generation.batched}};
  if (!generation.controls.empty()) recipe["controls"] = control_hashes(generation);
  return recipe;
}

Json with_model_name(Json recipe, const std::string& name) {
  Json& model = recipe.at("model");
  model["source"] = name;
  if (const auto found = model.find("components"); found != model.end())
    for (Json& path : *found) path = last_part(path.get<std::string>());
  Json& request = recipe.at("request");
  if (const auto found = request.find("controls"); found != request.end())
    for (Json& control : *found)
      control["model"] = last_part(control.at("model").get<std::string>());
  if (const auto loras = request.find("loras"); loras != request.end())
    for (Json& use : *loras) use.erase("path");  // it is found again by name and hash
  if (const auto found = request.find("embeddings"); found != request.end())
    for (Json& use : *found) use["path"] = last_part(use.at("path").get<std::string>());
  return recipe;
}

std::string a1111_parameters(const Json& recipe) {
  const auto source = recipe.at("model").at("source").get<std::string>();
  const GenerationRequest request = request_from_json(recipe.at("request"));
  std::ostringstream text;
  text << request.prompt;
  for (const lora::LoraUse& use : request.loras)
    text << " <lora:" << use.name << ':' << use.strength << '>';
  text << '\n';
  if (request.negative_prompt && !request.negative_prompt->empty())
    text << "Negative prompt: " << *request.negative_prompt << '\n';
  text << "Steps: " << request.steps.value() << ", Sampler: " << request.sampler.value()
       << ", Schedule type: " << request.schedule.value()
       << ", CFG scale: " << request.guidance_scale.value() << ", Seed: " << request.seed.value()
       << ", Size: " << request.width.value() << 'x' << request.height.value()
       << ", Model hash: " << recipe.at("model").at("sha256").get<std::string>().substr(0, 10)
       << ", Model: " << (std::filesystem::path(source).is_absolute() ? last_part(source) : source);
  if (request.strength) text << ", Denoising strength: " << request.strength.value();
  if (request.hires_scale)
    text << ", Denoising strength: " << request.hires_denoising_strength
         << ", Hires upscale: " << *request.hires_scale
         << ", Hires steps: " << request.hires_steps.value()
         << ", Hires upscaler: " << (request.hires_upscaler == "latent" ? "Latent" : "Lanczos");
  if (request.hires_prompt) text << ", Hires prompt: " << Json(*request.hires_prompt).dump();
  if (request.hires_negative_prompt)
    text << ", Hires negative prompt: " << Json(*request.hires_negative_prompt).dump();
  if (request.mask_blur > 0) text << ", Mask blur: " << request.mask_blur;
  if (request.inpaint_area == "masked")
    text << ", Inpaint area: Only masked, Masked area padding: " << request.mask_padding;
  if (request.tiling == "xy") text << ", Tiling: True";
  // A1111 counts the last layer as 1.
  if (request.clip_skip > 0) text << ", Clip skip: " << request.clip_skip + 1;
  for (size_t i = 0; i < request.controls.size(); ++i)
    text << ", ControlNet " << i << ": " << control_text(request.controls[i]);
  text << ", Version: sdrbee " << recipe.at("environment").at("sdrbee").get<std::string>();
  return text.str();
}

GenerationRequest replay_request(const Json& recipe, ImageModel& model, RecipeInputs inputs) {
  if (!value_at(recipe, "/request").is_object())
    throw InvalidRequest("[recipe] expected a JSON object with a `request`");
  if (value_at(recipe, "/batched") == true)
    throw InvalidRequest(
        "[recipe] the picture shared its network calls with others of a batch and can't be "
        "repeated alone bit by bit; make such pictures with exact=True");
  check_same(recipe, "/model/sha256", model.sha256());
  const Json now = environment(model);
  for (const auto& [key, value] : now.items()) check_same(recipe, "/environment/" + key, value);
  GenerationRequest request = request_from_json(recipe.at("request"));
  visit_request_pictures([&](std::string_view field, auto member, std::string_view) {
    const std::string name(field);
    std::optional<Image> given;
    if (const auto found = inputs.pictures.find(name); found != inputs.pictures.end())
      given = std::move(found->second);
    put_back(recipe, name, std::move(given), picture_sha256, request.*member);
  });
  put_back(recipe, "latents", std::move(inputs.latents), latents_sha256, request.latents);
  put_controls_back(recipe, model, std::move(inputs.controls), request.controls);
  return request;
}

}  // namespace sdrbee
