// Which texts a picture is made from, and in which steps.
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/generation/request.h"
#include "sdrbee/models/conditioning.h"

namespace sdrbee {

/// What a prompt comes to in a pass: the texts to encode together, and where each is used.
struct PromptPlan {
  /// A condition by its place in `prompts`.
  struct Condition {
    size_t prompt = 0;
    double share = 1.0;  // its weight beside the others of its phase
    bool operator==(const Condition&) const = default;
  };
  /// What guides in the steps up to one.
  struct Phase {
    int64_t until = 0;  // the last step, counted from 1; the last phase has no end
    std::vector<Condition> conditions = {};
    std::optional<size_t> base = {};  // the negative prompt, where classifier-free guidance acts
  };
  std::vector<Prompt> prompts;  // all different
  std::vector<Phase> phases;

  /// Whether conditions are weighed against each other: then the base is needed at any scale.
  bool composed() const;
};

/// The plan of a resolved request for its first (0) or second pass (1), whose picture is `size`.
PromptPlan plan_prompts(const GenerationRequest& request, const ModelInfo& info, PixelSize size,
                        int64_t pass);

/// Throws InvalidRequest when a prompt has too many parts or texts, or parts that the model can't
/// compose.
void check_prompts(const GenerationRequest& request, const ModelInfo& info);

/// What the request says of long prompts; resolve has checked the word.
LongPrompt long_prompt_of(const GenerationRequest& request);

/// The weight of the prompt against the negative one.
double contrast_of(const GenerationRequest& request, const ModelInfo& info);

}  // namespace sdrbee
