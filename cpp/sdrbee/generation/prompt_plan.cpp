#include "sdrbee/generation/prompt_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/text/prompt_schedule.h"
#include "sdrbee/text/prompt_syntax.h"

namespace sdrbee {
namespace {

constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();

/// How the picture of a pass is framed. Sizes that are the picture's own are so in both passes.
Framing framing_of(const GenerationRequest& request, PixelSize size) {
  if (request.original_size.empty()) return {};
  const auto of_this_pass = [&](const std::vector<int64_t>& given) {
    const PixelSize chosen{given[0], given[1]};
    return chosen == request.size() ? size : chosen;
  };
  return {.original_size = of_this_pass(request.original_size),
          .target_size = of_this_pass(request.target_size),
          .crop_left = request.crop[0],
          .crop_top = request.crop[1]};
}

bool guides_against_negative(const GenerationRequest& request, const ModelInfo& info) {
  const Capabilities& can = info.capabilities;
  // Beside a guidance that needs none, a negative prompt must be given to have an effect.
  const bool prompted = can.guidance || (can.true_guidance && request.negative_prompt);
  return prompted && contrast_of(request, info) > 1.0;
}

/// A text of the request over the steps of a pass; nothing where the request gives none.
using Scheduled = std::optional<text::PromptSchedule>;

/// The texts of one prompt for all encoders.
struct ScheduledPrompt {
  Prompt base;  // all but the texts
  Scheduled text = {};
  Scheduled text_2 = {};
  Scheduled text_3 = {};
  double share = 1.0;

  void add_ends(std::set<int64_t>& ends) const {
    for (const Scheduled* const one : {&text, &text_2, &text_3})
      if (*one)
        for (const auto& span : (*one)->spans()) ends.insert(span.until);
  }

  Prompt at(int64_t step) const {
    const auto chosen = [step](const Scheduled& one) {
      return one ? std::optional(one->at(step)) : std::nullopt;
    };
    Prompt prompt = base;
    prompt.text = chosen(text);
    prompt.text_2 = chosen(text_2);
    prompt.text_3 = chosen(text_3);
    return prompt;
  }
};

/// Reads the texts of a request as its syntax has them.
class Reader {
 public:
  Reader(const GenerationRequest& request, text::PassSteps steps)
      : syntax_(text::find_prompt_syntax(request.prompt_syntax).value()), steps_(steps) {}

  text::PromptSyntax syntax() const { return syntax_; }
  bool second_pass() const { return steps_.second; }

  Scheduled schedule(const std::optional<std::string>& text) const {
    if (!text) return std::nullopt;
    return syntax_ == text::PromptSyntax::A1111 ? text::schedule_prompt(*text, steps_)
                                                : text::PromptSchedule(*text);
  }

  std::vector<text::ComposedText> parts(const std::string& prompt) const {
    if (syntax_ == text::PromptSyntax::A1111) return text::split_composition(prompt);
    return {{prompt, 1.0}};
  }

 private:
  text::PromptSyntax syntax_;
  text::PassSteps steps_;
};

Reader reader_of(const GenerationRequest& request, int64_t pass) {
  const int64_t steps = request.steps.value_or(1);
  if (pass == 0) return Reader(request, {.count = steps});
  return Reader(request, {.count = *request.hires_steps, .earlier = steps, .second = true});
}

/// The first text of a pass, and what the request calls it.
struct FirstText {
  std::optional<std::string> text;
  const char* field;
};

FirstText first_text(const GenerationRequest& request, bool second_pass) {
  if (second_pass && request.hires_prompt) return {request.hires_prompt, "hires_prompt"};
  return {request.prompt, "prompt"};
}

FirstText first_negative_text(const GenerationRequest& request, bool second_pass) {
  if (second_pass && request.hires_negative_prompt)
    return {request.hires_negative_prompt, "hires_negative_prompt"};
  return {request.negative_prompt, "negative_prompt"};
}

std::vector<ScheduledPrompt> positive_prompts(const GenerationRequest& request,
                                              const Reader& reader, const Prompt& base) {
  std::vector<ScheduledPrompt> all;
  const auto [text, field] = first_text(request, reader.second_pass());
  for (const auto& [part, share] : reader.parts(*text)) {
    all.push_back({.base = base,
                   .text = reader.schedule(part),
                   .text_2 = reader.schedule(request.prompt_2),
                   .text_3 = reader.schedule(request.prompt_3),
                   .share = share});
    // clip_skip acts on the positive prompt only, as in diffusers.
    all.back().base.clip_skip = request.clip_skip;
    all.back().base.field = field;
  }
  return all;
}

ScheduledPrompt negative_prompt(const GenerationRequest& request, const Reader& reader,
                                Prompt base) {
  const auto [text, field] = first_negative_text(request, reader.second_pass());
  base.negative = true;
  base.field = field;
  return {.base = std::move(base),
          .text = reader.schedule(text),
          .text_2 = reader.schedule(request.negative_prompt_2),
          .text_3 = reader.schedule(request.negative_prompt_3)};
}

/// The places of prompts, each of which is kept once.
class Places {
 public:
  explicit Places(std::vector<Prompt>& prompts) : prompts_(&prompts) {}

  size_t of(Prompt prompt) {
    const auto [found, is_new] = known_.emplace(
        std::tuple(prompt.negative, prompt.text, prompt.text_2, prompt.text_3), prompts_->size());
    if (is_new) prompts_->push_back(std::move(prompt));
    return found->second;
  }

 private:
  using Text = std::optional<std::string>;
  std::vector<Prompt>* prompts_;
  std::map<std::tuple<bool, Text, Text, Text>, size_t> known_;
};

text::LearnedWords learned_words(const GenerationRequest& request) {
  text::LearnedWords words;
  for (const text::EmbeddingUse& use : request.embeddings)
    words.push_back(
        std::make_shared<const text::TextualInversion>(text::load_textual_inversion(use)));
  return words;
}

bool is_composed(const std::vector<text::ComposedText>& parts) {
  return parts.size() > 1 || parts.front().weight != 1.0;
}

void check_marks(const GenerationRequest& request, const ModelInfo& info, const Reader& reader) {
  const bool second = reader.second_pass();
  const auto [prompt, field] = first_text(request, second);
  const std::vector<text::ComposedText> parts = reader.parts(*prompt);
  if (is_composed(parts) && !info.capabilities.guidance)
    throw InvalidRequest(message(
        "[", field, "] AND and the weight of a whole prompt need classifier-free guidance, ",
        "which this model doesn't have; leave them out, or give prompt_syntax='plain'"));
  for (const text::ComposedText& part : parts) reader.schedule(part.text);
  reader.schedule(first_negative_text(request, second).text);
  for (const auto* const text : {&request.prompt_2, &request.prompt_3, &request.negative_prompt_2,
                                 &request.negative_prompt_3})
    reader.schedule(*text);
}

}  // namespace

double contrast_of(const GenerationRequest& request, const ModelInfo& info) {
  return info.capabilities.guidance ? *request.guidance_scale - info.neutral_guidance_scale + 1.0
                                    : request.true_guidance_scale.value_or(1.0);
}

LongPrompt long_prompt_of(const GenerationRequest& request) {
  if (request.long_prompt == "truncate") return LongPrompt::Truncate;
  return request.long_prompt == "error" ? LongPrompt::Refuse : LongPrompt::Chunk;
}

bool PromptPlan::composed() const {
  const std::vector<Condition>& first = phases.front().conditions;
  return first.size() > 1 || first.front().share != 1.0;
}

PromptPlan plan_prompts(const GenerationRequest& request, const ModelInfo& info, PixelSize size,
                        int64_t pass) {
  const Reader reader = reader_of(request, pass);
  const Prompt base{.text = std::nullopt,
                    .text_tokens = request.max_sequence_length.value_or(0),
                    .long_prompt = long_prompt_of(request),
                    .syntax = reader.syntax(),
                    .words = learned_words(request),
                    .framing = framing_of(request, size)};
  const std::vector<ScheduledPrompt> positive = positive_prompts(request, reader, base);
  const bool composed = positive.size() > 1 || positive.front().share != 1.0;
  std::optional<ScheduledPrompt> negative;
  if (composed || guides_against_negative(request, info))
    negative = negative_prompt(request, reader, base);
  std::set<int64_t> ends;
  for (const ScheduledPrompt& prompt : positive) prompt.add_ends(ends);
  if (negative) negative->add_ends(ends);
  PromptPlan plan;
  Places places(plan.prompts);
  for (const int64_t end : ends) {
    PromptPlan::Phase phase{.until = end};
    for (const ScheduledPrompt& prompt : positive)
      phase.conditions.push_back({places.of(prompt.at(end)), prompt.share});
    if (negative) phase.base = places.of(negative->at(end));
    plan.phases.push_back(std::move(phase));
  }
  plan.phases.back().until = kNoEnd;
  return plan;
}

void check_prompts(const GenerationRequest& request, const ModelInfo& info) {
  for (int64_t pass = 0; pass < (request.hires_scale ? 2 : 1); ++pass)
    check_marks(request, info, reader_of(request, pass));
}

}  // namespace sdrbee
