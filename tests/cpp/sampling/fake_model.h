// A function that stands for a network, and the loop of a generation over it.
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/tanh.h>

#include <optional>
#include <utility>

#include "sdrbee/core/rng.h"
#include "sdrbee/core/tensor.h"
#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee::sampling::testing {

inline constexpr uint64_t kSeed = 7;
inline const std::vector<int64_t> kShape = {1, 4, 4, 4};

/// network() of tests/python/golden/sampling_groups.py.
inline Tensor fake_network(const Tensor& x, double timestep) {
  const float shift = static_cast<float>(timestep) * 0.0005F;
  const Tensor channels = at::arange(4, at::kFloat).reshape({1, 4, 1, 1}) * 0.1;
  return at::tanh(x * 0.7 + shift + channels);
}

inline Tensor clean_latents() {
  return fake_network(at::linspace(-2, 2, 64, at::kFloat).reshape(kShape), 100);
}

/// Everything that a generation carries from step to step.
struct Run {
  Plan plan;
  NoiseSource noise{kSeed};
  Tensor latents{};
  History history{};
  int64_t next_step = 0;
  Constraint constrain{};  ///< blends, for masked generations
  bool guided = false;     ///< answers with an unconditional prediction, too

  bool done() const { return next_step >= plan.step_count() || history.progress >= 1; }
};

inline void take_step(Run& run) {
  Step step =
      begin_step({run.plan, run.next_step, run.noise, run.constrain}, run.latents, run.history);
  while (!step.done()) {
    const Evaluation& evaluation = step.evaluation();
    step.resume(
        {fake_network(evaluation.input, evaluation.timestep),
         run.guided ? fake_network(evaluation.input, evaluation.timestep + 300) : Tensor()});
  }
  run.latents = step.latents();
  ++run.next_step;
  if (run.constrain)
    run.latents = run.constrain(run.latents, run.plan.level(run.next_step, run.history));
}

/// What a generation starts from; `strength` makes it image-to-image, `masked` an inpainting.
inline Run start(Plan plan, std::optional<double> strength = {}, bool masked = false) {
  Run run{std::move(plan)};
  const Tensor noise = run.noise.normal(kShape);
  const Tensor clean = clean_latents();
  run.latents = noise * run.plan.initial_noise_scale();
  if (strength) {
    run.next_step = run.plan.first_step(*strength);
    run.latents = run.plan.add_start_noise(clean, noise, run.next_step);
  }
  if (masked) {
    const Tensor mask = at::arange(64).reshape(kShape).remainder(3).eq(0).to(at::kFloat);
    run.constrain = [plan = run.plan, clean, noise, mask](Tensor latents, const NoiseLevel& level) {
      return (1 - mask) * plan.add_noise_at(clean, noise, level) + mask * latents;
    };
  }
  return run;
}

}  // namespace sdrbee::sampling::testing
