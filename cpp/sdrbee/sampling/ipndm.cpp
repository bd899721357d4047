#include <array>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

constexpr int64_t kIpndmOrder = 4;

/// Adams and Bashforth's weights of the last derivatives, newest first, for steps of equal length.
constexpr std::array<std::array<double, kIpndmOrder>, kIpndmOrder> kEvenWeights = {
    {{1, 0, 0, 0},
     {3.0 / 2, -1.0 / 2, 0, 0},
     {23.0 / 12, -16.0 / 12, 5.0 / 12, 0},
     {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}}};

/// iPNDM (Zhang & Chen 2022, arXiv:2204.13902): an Adams-Bashforth step of the order that the known
/// derivatives allow. The last step takes the clean estimate.
Step adams_step(StepContext context, Tensor x, History& history, bool even) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_at(plan, p.raw, x, sigma);
  remember(history, (x - clean) / sigma, kIpndmOrder);
  ++history.count;
  if (next == 0) co_return clean;
  const auto order = static_cast<int64_t>(history.tensors.size());
  for (int64_t back = 0; back < order; ++back) {
    const double weight =
        even ? (next - sigma) *
                   kEvenWeights[static_cast<size_t>(order - 1)][static_cast<size_t>(back)]
             : adams_weight(plan, context.step, order, back);
    x = x + history.tensors[static_cast<size_t>(order - 1 - back)] * weight;
  }
  co_return x;
}

}  // namespace

Step ipndm_step(StepContext context, Tensor latents, History& history) {
  return adams_step(context, std::move(latents), history, /*even=*/true);
}

Step ipndm_v_step(StepContext context, Tensor latents, History& history) {
  return adams_step(context, std::move(latents), history, /*even=*/false);
}

}  // namespace sdrbee::sampling
