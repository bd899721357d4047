// Whole generations against diffusers' schedulers, see tests/python/golden/make_sampling.py.
#include "support/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "sampling/fake_model.h"
#include "sdrbee/io/json.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee::sampling {
namespace {

using io::Json;

template <typename Value>
std::optional<Value> optional_of(const Json& json, const char* key) {
  if (!json.contains(key) || json.at(key).is_null()) return std::nullopt;
  return json.at(key).get<Value>();
}

SamplerOptions options_of(const Json& json) {
  SamplerOptions options;
  options.sampler = optional_of<std::string>(json, "sampler");
  options.schedule = optional_of<std::string>(json, "schedule");
  options.eta = optional_of<double>(json, "eta");
  options.mu = optional_of<double>(json, "mu");
  options.s_churn = json.value("s_churn", 0.0);
  options.s_noise = json.value("s_noise", 1.0);
  options.rho = optional_of<double>(json, "rho");
  options.xl_steps = json.value("xl_steps", false);
  options.distilled_strength = json.value("distilled_strength", 1.0);
  options.sigmas = json.value("sigmas", std::vector<double>());
  return options;
}

/// Every 9th value of the final latents, as make_sampling.py keeps them.
std::vector<float> kept_values(const Tensor& latents) {
  const Tensor flat = latents.reshape({-1}).contiguous();
  std::vector<float> kept;
  for (int64_t i = 0; i < flat.numel(); i += 9) kept.push_back(flat.const_data_ptr<float>()[i]);
  return kept;
}

void expect_near(const std::vector<double>& expected, const std::vector<double>& actual,
                 double tolerance, const char* what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(expected[i], actual[i], tolerance * std::max(1.0, std::abs(expected[i])))
        << what << "[" << i << "]";
}

/// The oracle and sdrbee do the same fp32 operations, up to the last bits of log, exp and of sums:
/// 1e-5 of the latents' scale is what those grow to in 20 steps.
constexpr double kTolerance = 1e-5;

void check_run(const SchedulerConfig& config, const SamplerOptions& options, const Json& run) {
  const auto strength = optional_of<double>(run, "strength");
  SamplerOptions chosen = options;
  chosen.strength = strength.value_or(1);
  testing::Run generation = testing::start(make_plan(config, chosen, run.at("steps")), strength,
                                           run.value("inpaint", false));
  generation.guided = run.value("guided", false);
  while (!generation.done()) testing::take_step(generation);

  const auto expected = run.at("final").get<std::vector<double>>();
  const std::vector<float> actual = kept_values(generation.latents);
  expect_near(expected, {actual.begin(), actual.end()}, kTolerance, "final latents");
  // Equal next numbers: both drew the same amount of noise.
  EXPECT_NEAR(run.at("next").get<double>(), generation.noise.normal({1}).item<double>(), 1e-6);
  if (run.contains("timesteps"))
    expect_near(run.at("timesteps"), generation.plan.timesteps(), 2e-5, "timesteps");
  if (run.contains("sigmas"))
    expect_near(run.at("sigmas"), generation.plan.sigmas(), 2e-6, "sigmas");
}

class GoldenFile : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenFile, EqualsTheReference) {
  const Json file = io::read_json(test::golden_path(GetParam()));
  for (const Json& group : file.at("groups")) {
    const SchedulerConfig config = SchedulerConfig::from_json(group.at("config"));
    const SamplerOptions options = options_of(group.at("options"));
    for (const Json& run : group.at("runs")) {
      std::ostringstream name;
      name << group.at("config") << " " << group.at("options") << " steps " << run.at("steps");
      SCOPED_TRACE(name.str());
      ASSERT_NO_THROW(check_run(config, options, run));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sampling, GoldenFile,
                         ::testing::Values("sampling_table.json", "sampling_variants.json",
                                           "sampling_flow.json", "sampling_masked.json",
                                           "sampling_options.json", "sampling_derived.json",
                                           "sampling_more.json"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           name = name.substr(name.find('_') + 1);
                           return name.substr(0, name.find('.'));
                         });

}  // namespace
}  // namespace sdrbee::sampling
