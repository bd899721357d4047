#include "sdrbee/generation/plan_request.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/inpaint_source.h"
#include "sdrbee/generation/prompt_plan.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/sampling/plan_details.h"
#include "sdrbee/text/prompt_syntax.h"

namespace sdrbee {
namespace {

constexpr double kLeastShare = 0.01;  // of the steps that a second pass runs

/// The request's choices of sampler and noise levels, for a picture of `size`.
sampling::SamplerOptions sampler_options(const GenerationRequest& request, const ModelInfo& info,
                                         PixelSize size, int64_t steps) {
  sampling::SamplerOptions options;
  options.sampler = request.sampler;
  options.schedule = request.schedule;
  options.spacing = request.spacing;
  options.prediction = request.prediction;
  options.sigmas = request.sigmas;
  options.eta = request.eta;
  options.s_churn = request.s_churn;
  options.s_noise = request.s_noise;
  options.rho = request.rho;
  options.xl_steps = info.align_your_steps_xl;
  if (info.scheduler.use_dynamic_shifting) options.mu = info.dynamic_shift(size, steps);
  return options;
}

/// The number of steps that own sigmas make.
int64_t own_steps(const GenerationRequest& request, const sampling::Plan& plan) {
  const int64_t steps = plan.open_ended() ? std::ssize(request.sigmas) - 1 : plan.step_count();
  if (request.steps.value_or(steps) == steps) return steps;
  throw InvalidRequest(message("[steps] expected ", steps, " to match `sigmas` but got ",
                               *request.steps, "; leave `steps` out"));
}

/// The plan of a resolved request; writes the chosen sampler, schedule, spacing and prediction back
/// into the request, so that the recipe names them.
sampling::Plan plan_first_pass(GenerationRequest& request, const ModelInfo& info) {
  const int64_t steps = request.steps.value_or(std::max<int64_t>(1, std::ssize(request.sigmas)));
  sampling::SamplerOptions options = sampler_options(request, info, request.size(), steps);
  options.strength = request.strength.value_or(1.0);
  if (info.strength_over_distilled_steps && request.mode() == Mode::ImageToImage)
    options.distilled_strength = options.strength;
  sampling::Plan plan = sampling::make_plan(info.scheduler, options, steps);
  if (!request.sigmas.empty()) request.steps = own_steps(request, plan);
  request.sampler = plan.sampler();
  request.schedule = plan.schedule();
  request.spacing = plan.spacing();
  request.prediction = plan.prediction();
  return plan;
}

/// The part of the plan that is run.
void choose_steps(PlannedRequest& planned) {
  const GenerationRequest& request = planned.request;
  const sampling::Plan& plan = planned.plan;
  planned.end_step = plan.step_count();
  if (request.strength) planned.first_step = plan.first_step(*request.strength);
  if (request.denoising_start) planned.first_step = plan.takeover_step(*request.denoising_start);
  if (request.denoising_end) planned.end_step = plan.handover_step(*request.denoising_end);
  if (planned.first_step >= planned.end_step)
    throw InvalidRequest(message("[", request.denoising_end ? "denoising_end" : "denoising_start",
                                 "] leaves none of the ", plan.step_count(),
                                 " steps; take more steps or a larger part"));
}

/// Reads prompts only where what is in them may be an error: else that waits until they are
/// encoded.
void read_prompts(const GenerationRequest& request, const ModelInfo& info,
                  const PromptCheck& tokenizers) {
  const bool compel = text::find_prompt_syntax(request.prompt_syntax) == text::PromptSyntax::Compel;
  if (long_prompt_of(request) != LongPrompt::Refuse && !compel) return;
  tokenizers.check(plan_prompts(request, info, request.size(), 0).prompts);
  if (request.hires_scale)
    tokenizers.check(plan_prompts(request, info, hires_size(request, info), 1).prompts);
}

}  // namespace

PlannedRequest plan_request(GenerationRequest request, const ModelInfo& info,
                            const PromptCheck* tokenizers) {
  request = resolve(std::move(request), info);
  if (tokenizers != nullptr) read_prompts(request, info, *tokenizers);
  if (request.inpaint_area == "masked") masked_area(request);
  sampling::Plan plan = plan_first_pass(request, info);
  PlannedRequest planned{.request = std::move(request), .plan = std::move(plan)};
  choose_steps(planned);
  if (planned.request.hires_scale) {
    const PassPlan second = plan_second_pass(planned.request, info);
    planned.second_pass_steps = second.plan.step_count() - second.first_step;
  }
  return planned;
}

PassPlan plan_second_pass(const GenerationRequest& request, const ModelInfo& info) {
  const bool distilled = info.strength_over_distilled_steps &&
                         sampling::find_sampler(*request.sampler).grid == sampling::Grid::Lcm;
  // As many steps are run as were asked for: the plan is as long as the strength makes it.
  const int64_t run = *request.hires_steps;
  const auto share = std::max(request.hires_denoising_strength, kLeastShare);
  const auto laid_out = std::max(run, static_cast<int64_t>(static_cast<double>(run) / share));
  const int64_t steps = distilled ? run : laid_out;
  sampling::SamplerOptions options =
      sampler_options(request, info, hires_size(request, info), steps);
  options.strength = request.hires_denoising_strength;
  if (distilled) options.distilled_strength = options.strength;
  sampling::Plan plan = sampling::make_plan(info.scheduler, options, steps);
  const bool whole = distilled || plan.details().from_strength;
  const int64_t first = whole ? 0 : std::max<int64_t>(0, plan.step_count() - run);
  return {std::move(plan), first};
}

}  // namespace sdrbee
