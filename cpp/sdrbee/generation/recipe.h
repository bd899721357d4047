// The recipe of a picture: all that makes it again.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// The recipe of a finished generation: the resolved request, SHA-256 of model, control networks
/// and input pictures,
/// dtype, device, threads, CPU level, torch and sdrbee versions.
nlohmann::json make_recipe(ImageModel& model, const Generation& generation);

/// What a picture depends on beside model and request: threads, CPU level, torch and sdrbee
/// versions.
nlohmann::json build_environment();

/// SHA-256 of a request's pictures and latents, by the name of the field; of controls a list.
nlohmann::json input_hashes(const GenerationRequest& request);

/// The recipe with its model called `name`, and the files of other components, control networks and
/// learned words
/// by the last part of their paths: a picture that leaves the machine need not tell where files
/// are.
nlohmann::json with_model_name(nlohmann::json recipe, const std::string& name);

/// The recipe as A1111 writes it into the PNG text `parameters`; of a path to the model it shows
/// the last part.
std::string a1111_parameters(const nlohmann::json& recipe);

/// What a picture was made from beside its request: a recipe keeps hashes of them only.
struct RecipeInputs {
  std::map<std::string, Image> pictures;  // by the name of the field
  std::optional<LatentImage> latents;
  /// The pictures of each control, in the order of the recipe: what it follows, then the masks.
  std::vector<Image> controls;
};

/// The request inside a recipe, with its inputs put back.
/// Throws InvalidRequest when an input is missing, or differs from the one recorded (naming it),
/// when a control network's files are others, or when model, dtype, threads, CPU level or torch
/// differ so that the picture would not be the same.
GenerationRequest replay_request(const nlohmann::json& recipe, ImageModel& model,
                                 RecipeInputs inputs);

/// A request as JSON and back (without the pictures): `restore` and recipes use it.
nlohmann::json request_to_json(const GenerationRequest& request);
GenerationRequest request_from_json(const nlohmann::json& json);

}  // namespace sdrbee
