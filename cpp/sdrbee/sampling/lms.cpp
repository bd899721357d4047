#include <algorithm>
#include <array>
#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

constexpr int64_t kOrder = 4;

/// The integral over step `step` of the Lagrange polynomial that is 1 at the sigma `back` steps
/// ago and 0 at the other `order - 1` last ones. Gauss' two points are exact up to degree 3.
double coefficient(const PlanDetails& plan, int64_t step, int64_t order, int64_t back) {
  const auto sigma = [&](int64_t ago) { return static_cast<double>(plan.point(step - ago)); };
  const double from = sigma(0);
  const double to = plan.point(step + 1);
  double integral = 0;
  for (const double node : {-1 / std::sqrt(3.0), 1 / std::sqrt(3.0)}) {
    const double tau = (from + to) / 2 + node * (to - from) / 2;
    double value = 1;
    for (int64_t k = 0; k < order; ++k)
      if (k != back) value *= (tau - sigma(k)) / (sigma(back) - sigma(k));
    integral += value * (to - from) / 2;
  }
  return integral;
}

}  // namespace

/// The linear multistep method of k-diffusion. Its order follows the step's index as in diffusers:
/// an image-to-image generation begins with more coefficients than derivatives.
Step lms_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  Evaluation evaluation = exploding_evaluation(x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_from_exploding(plan.prediction_type, p.raw, x, sigma);
  remember(history, (x - clean) / sigma, kOrder);
  ++history.count;
  const int64_t order = std::min(context.step + 1, kOrder);
  const auto known = static_cast<int64_t>(history.tensors.size());
  Tensor sum;
  for (int64_t back = 0; back < std::min(order, known); ++back) {
    const Tensor& derivative = history.tensors[static_cast<size_t>(known - 1 - back)];
    const Tensor term = derivative * coefficient(plan, context.step, order, back);
    sum = sum.defined() ? sum + term : term;
  }
  co_return x + sum;
}

}  // namespace sdrbee::sampling
