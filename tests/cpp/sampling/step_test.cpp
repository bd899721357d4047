#include "sdrbee/sampling/step.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <gtest/gtest.h>

#include "sampling/fake_model.h"
#include "sdrbee/core/error.h"
#include "sdrbee/sampling/samplers.h"

namespace sdrbee::sampling {
namespace {

using testing::kShape;

constexpr int64_t kSteps = 6;

SchedulerConfig latent_diffusion() {
  SchedulerConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  config.clip_sample = false;
  return config;
}

SchedulerConfig config_for(PredictionType prediction) {
  SchedulerConfig config = latent_diffusion();
  config.prediction_type = prediction_name(prediction);
  return config;
}

/// A plan with all the noise that the sampler can add.
Plan plan_for(const SamplerRow& row, PredictionType prediction, std::string_view schedule) {
  SamplerOptions options;
  options.sampler = row.name;
  options.schedule = schedule;
  if (row.uses_eta) options.eta = 0.5;
  return make_plan(config_for(prediction), options, kSteps);
}

Tensor finish(testing::Run run) {
  while (!run.done()) testing::take_step(run);
  return run.latents;
}

/// Copies a run as a checkpoint would: its values only, tensors by content.
testing::Run restored(const testing::Run& run) {
  testing::Run copy{run.plan};
  copy.noise = NoiseSource::restore(testing::kSeed, run.noise.state());
  copy.latents = run.latents.clone();
  for (const Tensor& tensor : run.history.tensors) copy.history.tensors.push_back(tensor.clone());
  copy.history.scalars = run.history.scalars;
  copy.history.count = run.history.count;
  copy.history.progress = run.history.progress;
  copy.next_step = run.next_step;
  return copy;
}

TEST(Step, EveryRowRunsWithAllItsSchedulesAndPredictions) {
  for (const SamplerRow& row : samplers()) {
    for (const PredictionType prediction : row.predictions) {
      const bool flow = prediction == PredictionType::Flow;
      for (std::string_view schedule : flow ? row.flow_schedules : row.schedules) {
        SCOPED_TRACE(message(row.name, " ", schedule, " ", prediction_name(prediction)));
        const Tensor final = finish(testing::start(plan_for(row, prediction, schedule)));
        EXPECT_EQ(final.sizes(), at::IntArrayRef(kShape));
        EXPECT_TRUE(at::isfinite(final).all().item<bool>());
      }
    }
  }
}

TEST(Step, HistoryIsAllThatOneStepLeavesToTheNext) {
  for (const SamplerRow& row : samplers()) {
    SCOPED_TRACE(row.name);
    testing::Run run = testing::start(plan_for(row, row.predictions[0], row.schedules[0]));
    const Tensor whole = finish(run);
    while (!run.done()) {
      EXPECT_TRUE(at::equal(whole, finish(restored(run)))) << "restored at " << run.next_step;
      testing::take_step(run);
    }
  }
}

TEST(Step, GenerationsDoNotTouchEachOther) {
  for (const SamplerRow& row : samplers()) {
    SCOPED_TRACE(row.name);
    const Plan plan = plan_for(row, row.predictions[0], row.schedules[0]);
    testing::Run one = testing::start(plan);
    testing::Run other = testing::start(plan);
    other.noise = NoiseSource(99);
    other.latents = other.latents * -0.5;
    const Tensor alone = finish(one);
    Step first = begin_step({plan, 0, one.noise, one.constrain}, one.latents, one.history);
    Step second = begin_step({plan, 0, other.noise, other.constrain}, other.latents, other.history);
    while (!first.done() || !second.done()) {  // interleaved, as in one batch
      for (Step* step : {&second, &first}) {
        if (step->done()) continue;
        const Evaluation evaluation = step->evaluation();
        step->resume({testing::fake_network(evaluation.input, evaluation.timestep), {}});
      }
    }
    one.latents = first.latents();
    one.next_step = 1;
    EXPECT_TRUE(at::equal(alone, finish(one)));
  }
}

TEST(Step, PredictedCleanIsTheCleanSampleOfAPerfectNetwork) {
  const Tensor clean = testing::clean_latents();
  const Tensor noise = NoiseSource(3).normal(kShape);
  for (const SamplerRow& row : samplers()) {
    for (const PredictionType prediction : row.predictions) {
      SCOPED_TRACE(message(row.name, " ", prediction_name(prediction)));
      testing::Run run = testing::start(
          plan_for(row, prediction,
                   prediction == PredictionType::Flow ? row.flow_schedules[0] : row.schedules[0]));
      const int64_t at = run.plan.open_ended() ? 0 : 2;
      run.latents = run.plan.add_start_noise(clean, noise, at);
      Step step = begin_step({run.plan, at, run.noise, run.constrain}, run.latents, run.history);
      const Mix mix = step.evaluation().mix;
      Tensor raw = noise;
      if (prediction == PredictionType::Velocity) raw = noise * mix.alpha - clean * mix.sigma;
      if (prediction == PredictionType::Sample) raw = clean;
      if (prediction == PredictionType::Flow) raw = noise - clean;
      const Tensor estimate = predicted_clean(run.plan, step.evaluation(), raw);
      EXPECT_LT((estimate - clean).abs().max().item<double>(), 1e-4);
    }
  }
}

TEST(Step, ErrorsOfTheConstraintComeOutOfResume) {
  testing::Run run =
      testing::start(plan_for(find_sampler("heun"), PredictionType::Epsilon, "normal"));
  run.constrain = [](Tensor, const NoiseLevel&) -> Tensor { throw Cancelled("stop"); };
  Step step = begin_step({run.plan, 0, run.noise, run.constrain}, run.latents, run.history);
  EXPECT_THROW(step.resume({run.latents, {}}), Cancelled);
}

TEST(Step, ErrorsBeforeTheFirstEvaluationComeOutOfBegin) {
  testing::Run run =
      testing::start(plan_for(find_sampler("euler"), PredictionType::Epsilon, "normal"));
  EXPECT_THROW(begin_step({run.plan, kSteps, run.noise, run.constrain}, run.latents, run.history),
               InternalError);
}

TEST(Step, NoiseOfDpmppSdeDependsOnSeedAndStepOnly) {
  const Plan plan = plan_for(find_sampler("dpmpp_sde"), PredictionType::Epsilon, "karras");
  testing::Run run = testing::start(plan);
  const Tensor whole = finish(run);
  run.noise.normal({1000});
  EXPECT_TRUE(at::equal(whole, finish(run)));
}

}  // namespace
}  // namespace sdrbee::sampling
