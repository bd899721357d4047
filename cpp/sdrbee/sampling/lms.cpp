#include <algorithm>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

constexpr int64_t kLmsOrder = 4;

}  // namespace

/// The linear multistep method of k-diffusion. Its order follows the step's index as in diffusers:
/// an image-to-image generation begins with more coefficients than derivatives.
Step lms_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  Evaluation evaluation = exploding_evaluation(x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_from_exploding(plan.prediction_type, p.raw, x, sigma);
  remember(history, (x - clean) / sigma, kLmsOrder);
  ++history.count;
  const int64_t order = std::min(context.step + 1, kLmsOrder);
  const auto known = static_cast<int64_t>(history.tensors.size());
  Tensor sum;
  for (int64_t back = 0; back < std::min(order, known); ++back) {
    const Tensor& derivative = history.tensors[static_cast<size_t>(known - 1 - back)];
    const Tensor term = derivative * adams_weight(plan, context.step, order, back);
    sum = sum.defined() ? sum + term : term;
  }
  co_return x + sum;
}

}  // namespace sdrbee::sampling
