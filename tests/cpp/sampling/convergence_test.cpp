// Samplers on Gaussian data, where everything is known: the ideal network, the trajectory of the
// probability flow ODE, and the distribution at its end.
#include <ATen/ops/full_like.h>
#include <gtest/gtest.h>

#include <cmath>

#include "sampling/fake_model.h"
#include "sdrbee/core/error.h"
#include "sdrbee/sampling/plan_details.h"
#include "sdrbee/sampling/samplers.h"

namespace sdrbee::sampling {
namespace {

constexpr double kMean = 0.4;
constexpr double kVariance = 0.5;
const std::vector<int64_t> kLarge = {1, 4, 96, 96};

/// The raw prediction of the ideal network: E[clean | input] in the form of `type`.
Tensor ideal(PredictionType type, const Evaluation& evaluation) {
  const double alpha = evaluation.mix.alpha;
  const double sigma = evaluation.mix.sigma;
  const double whole = alpha * alpha * kVariance + sigma * sigma;
  const Tensor clean =
      evaluation.input * (alpha * kVariance / whole) + kMean * sigma * sigma / whole;
  if (type == PredictionType::Sample) return clean;
  const Tensor noise = (evaluation.input - clean * alpha) / sigma;
  if (type == PredictionType::Epsilon) return noise;
  return type == PredictionType::Flow ? noise - clean : noise * alpha - clean * sigma;
}

/// The point of the ODE's trajectory that begins with pure noise `z`.
Tensor exact(const Plan& plan, const Tensor& z, float sigma) {
  Mix mix{1, sigma};
  const Grid grid = plan.details().row->grid;
  if (grid == Grid::Dpm || grid == Grid::UniPc || grid == Grid::Deis)
    mix = variance_preserving_mix(sigma);
  if (plan.details().is_flow()) mix = {1 - sigma, sigma};
  const double deviation = std::sqrt(mix.alpha * mix.alpha * kVariance + mix.sigma * mix.sigma);
  return z * deviation + kMean * mix.alpha;
}

void take_ideal_step(testing::Run& run) {
  Step step =
      begin_step({run.plan, run.next_step, run.noise, run.constrain}, run.latents, run.history);
  while (!step.done()) step.resume({ideal(run.plan.prediction_type(), step.evaluation()), {}});
  run.latents = step.latents();
  ++run.next_step;
}

SchedulerConfig latent_diffusion(PredictionType prediction) {
  SchedulerConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  config.prediction_type = prediction_name(prediction);
  config.clip_sample = false;
  return config;
}

/// `steps` steps between two noise levels, even in log sigma, or even in sigma.
std::vector<double> levels(double from, double to, int64_t steps, bool even) {
  std::vector<double> sigmas;
  for (int64_t i = 0; i <= steps; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(steps);
    sigmas.push_back(even ? from + (to - from) * part : from * std::pow(to / from, part));
  }
  return sigmas;
}

/// The error at three quarters of the way after a first quarter that was put right at each step, so
/// that multistep methods begin with exact memories and end before their last, lower orders.
double error_after(const SamplerRow& row, PredictionType prediction, int64_t steps) {
  SamplerOptions options;
  options.sampler = row.name;
  const bool flow = prediction == PredictionType::Flow;
  const bool even = row.name == "ipndm";  // whose order holds for even steps
  options.sigmas = levels(flow ? 0.9 : even ? 5 : 10, flow ? 0.2 : 0.4, steps, even);
  if (flow) options.sigmas.pop_back();
  if (row.uses_eta) options.eta = 0;
  testing::Run run{make_plan(latent_diffusion(prediction), options, steps)};
  const Tensor z = NoiseSource(3).normal({1, 4, 8, 8});
  run.latents = exact(run.plan, z, run.plan.details().point(0));
  while (run.next_step < steps * 3 / 4) {
    take_ideal_step(run);
    if (run.next_step <= steps / 4)
      run.latents = exact(run.plan, z, run.plan.details().point(run.next_step));
  }
  const Tensor truth = exact(run.plan, z, run.plan.details().point(run.next_step));
  return ((run.latents - truth).norm() / truth.norm()).item<double>();
}

/// Samplers that draw no noise with eta 0 and take noise levels one after the other.
bool follows_levels(const SamplerRow& row) {
  const bool stochastic = row.name == "euler_ancestral" || row.name == "dpm2_ancestral" ||
                          row.name == "dpmpp_2m_sde" || row.name == "dpmpp_sde" ||
                          row.name == "er_sde";
  return row.has_schedules() && !stochastic && row.grid != Grid::DpmFast &&
         row.grid != Grid::DpmAdaptive;
}

void expect_order(const SamplerRow& row, PredictionType prediction) {
  // Rounded it is the order. Above 15 steps solvers keep their order to the end, from 20 on restart
  // goes back.
  const int64_t steps = row.grid == Grid::Restart ? 8 : 24;
  const double coarse = error_after(row, prediction, steps);
  const double fine = error_after(row, prediction, 2 * steps);
  const double measured = std::log2(coarse / fine);
  ::testing::Test::RecordProperty(std::string(row.name) + "_" + prediction_name(prediction),
                                  std::to_string(measured));
  EXPECT_GT(measured, static_cast<double>(row.order) - 0.5) << coarse << " " << fine;
  EXPECT_LT(fine, 0.02);
}

TEST(Convergence, OrdersAreThoseOfTheTable) {
  for (const SamplerRow& row : samplers()) {
    if (!follows_levels(row)) continue;
    for (const PredictionType prediction : row.predictions) {
      if (prediction == PredictionType::Flow && (row.grid == Grid::Dpm || row.grid == Grid::Deis))
        continue;  // no own levels there
      SCOPED_TRACE(message(row.name, " ", prediction_name(prediction)));
      expect_order(row, prediction);
    }
  }
}

/// The error of dpm_fast and dpm_adaptive at their end.
double error_at_the_end(const char* sampler, int64_t steps, int64_t* attempts = nullptr) {
  SamplerOptions options{.sampler = sampler, .schedule = "karras"};
  testing::Run run{make_plan(latent_diffusion(PredictionType::Epsilon), options, steps)};
  const Tensor z = NoiseSource(3).normal({1, 4, 8, 8});
  run.latents = exact(run.plan, z, run.plan.details().points.front());
  while (!run.done()) take_ideal_step(run);
  if (attempts != nullptr) *attempts = run.next_step;
  const Tensor truth = exact(run.plan, z, run.plan.details().points.back());
  return ((run.latents - truth).norm() / truth.norm()).item<double>();
}

TEST(Convergence, DpmFastIsOfOrderThreeInItsEvaluations) {
  const double coarse = error_at_the_end("dpm_fast", 20);
  const double fine = error_at_the_end("dpm_fast", 41);
  EXPECT_GT(std::log2(coarse / fine), 2.5) << coarse << " " << fine;
}

TEST(Convergence, DpmAdaptiveKeepsToItsToleranceInItsOwnNumberOfSteps) {
  int64_t attempts = 0;
  EXPECT_LT(error_at_the_end("dpm_adaptive", 5, &attempts), 0.05);
  EXPECT_GT(attempts, 5);
  EXPECT_LT(attempts, 100);
}

struct Moments {
  double mean;
  double variance;
};

Moments moments_of(SamplerOptions options, PredictionType prediction, int64_t steps) {
  testing::Run run{make_plan(latent_diffusion(prediction), options, steps)};
  run.latents = run.noise.normal(kLarge) * run.plan.initial_noise_scale();
  while (!run.done()) take_ideal_step(run);
  return {run.latents.mean().item<double>(), run.latents.var().item<double>()};
}

TEST(Convergence, SamplersThatDrawNoiseMakeTheRightDistribution) {
  // 36864 values: the mean is known to 0.004 and the variance to 0.004 (one standard deviation);
  // the rest is left for what the steps do.
  for (const char* sampler :
       {"euler_ancestral", "dpm2_ancestral", "dpmpp_2m_sde", "dpmpp_3m_sde", "dpmpp_sde",
        "dpmpp_2s_ancestral", "er_sde", "sa_solver", "euler_ancestral_cfg_pp", "restart", "ddpm"}) {
    const SamplerRow& row = find_sampler(sampler);
    SCOPED_TRACE(sampler);
    SamplerOptions options{.sampler = sampler};
    if (row.config_schedule && row.has_schedules()) options.schedule = "karras";
    const int64_t steps = row.order == 1 ? 240 : 60;
    const Moments moments = moments_of(options, PredictionType::Epsilon, steps);
    EXPECT_NEAR(moments.mean, kMean, 0.02);
    EXPECT_NEAR(moments.variance, kVariance, 0.03);
  }
}

TEST(Convergence, NoiseOfFlowModelsMakesTheRightDistribution) {
  const Moments moments = moments_of({.sampler = "er_sde"}, PredictionType::Flow, 60);
  EXPECT_NEAR(moments.mean, kMean, 0.02);
  EXPECT_NEAR(moments.variance, kVariance, 0.03);
}

TEST(Convergence, EtaOfDpmSolverDrawsNoiseOfTheRightScale) {
  for (const char* sampler : {"dpm_fast", "dpm_adaptive"}) {
    SCOPED_TRACE(sampler);
    const SamplerOptions options{.sampler = sampler, .schedule = "karras", .eta = 1};
    const Moments moments = moments_of(options, PredictionType::Epsilon, 90);
    EXPECT_NEAR(moments.mean, kMean, 0.02);
    EXPECT_NEAR(moments.variance, kVariance, 0.03);
  }
}

}  // namespace
}  // namespace sdrbee::sampling
