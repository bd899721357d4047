#include "sdrbee/sampling/plan.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/schedules.h"

namespace sdrbee::sampling {
namespace {

/// runwayml/stable-diffusion-v1-5, scheduler/scheduler_config.json.
SchedulerConfig stable_diffusion() {
  return SchedulerConfig::from_json(io::Json::parse(R"({
    "_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "clip_sample": false, "num_train_timesteps": 1000,
    "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null})"));
}

/// The message of the InvalidRequest that a plan throws.
std::string refusal(const SamplerOptions& options, int64_t steps = 20,
                    const SchedulerConfig& config = stable_diffusion()) {
  try {
    make_plan(config, options, steps);
  } catch (const InvalidRequest& error) {
    return error.what();
  }
  return "no error";
}

void expect_all(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

TEST(Plan, TakesItsDefaultsFromTheModelFolder) {
  const Plan plan = make_plan(stable_diffusion(), {}, 20);
  EXPECT_EQ(plan.sampler(), "pndm");
  EXPECT_EQ(plan.schedule(), "normal");
  EXPECT_EQ(plan.spacing(), "leading");
  EXPECT_EQ(plan.prediction(), "epsilon");
  EXPECT_EQ(plan.step_count(), 20);
  EXPECT_EQ(plan.timesteps().size(), 21U);
}

TEST(Plan, DefaultsOfAnotherSamplerAreItsOwn) {
  const Plan plan = make_plan(stable_diffusion(), {.sampler = "euler"}, 20);
  EXPECT_EQ(plan.spacing(), "linspace");
}

TEST(Plan, ReadsSolverAndScheduleFromTheModelFolder) {
  const auto config = SchedulerConfig::from_json(
      io::Json::parse(R"({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true,
        "algorithm_type": "sde-dpmsolver++", "prediction_type": "v_prediction"})"));
  const Plan plan = make_plan(config, {}, 20);
  EXPECT_EQ(plan.sampler(), "dpmpp_2m_sde");
  EXPECT_EQ(plan.schedule(), "karras");
  EXPECT_EQ(plan.prediction(), "v_prediction");
  EXPECT_EQ(make_plan(config, {.sampler = "dpmpp_2m"}, 20).sampler(), "dpmpp_2m");
  EXPECT_EQ(make_plan(config, {.schedule = "normal"}, 20).schedule(), "normal");
}

TEST(Plan, FlowModelsAreKnownByTheirClass) {
  const auto config =
      SchedulerConfig::from_json(io::Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}});
  EXPECT_EQ(make_plan(config, {}, 4).prediction(), "flow_prediction");
  EXPECT_EQ(make_plan(config, {}, 4).initial_noise_scale(), 1);
}

TEST(Plan, AcceptsDiffusersClassesAndOtherSpellings) {
  for (const SamplerRow& row : samplers()) {
    for (std::string_view alias : row.aliases) EXPECT_EQ(&find_sampler(alias), &row);
    EXPECT_EQ(&find_sampler(row.name), &row);
  }
  EXPECT_EQ(find_sampler("DPM++ 2M SDE").name, "dpmpp_2m_sde");
  EXPECT_EQ(find_sampler("Euler a").name, "euler_ancestral");
}

TEST(Plan, EveryRowIsDescribed) {
  for (const SamplerRow& row : samplers()) {
    EXPECT_FALSE(row.description.empty()) << row.name;
    EXPECT_FALSE(row.schedules.empty()) << row.name;
    for (std::string_view schedule : row.schedules) EXPECT_NO_THROW(find_schedule(schedule));
  }
  for (const ScheduleRow& row : schedules()) EXPECT_FALSE(row.description.empty()) << row.name;
}

TEST(Plan, SuggestsTheNearestNames) {
  expect_all(refusal({.sampler = "eular"}), {"[sampler]", "'eular'", "did you mean euler"});
  expect_all(refusal({.sampler = "dpmpp2m"}), {"did you mean dpmpp_2m"});
  expect_all(refusal({.schedule = "karas"}), {"[schedule]", "did you mean karras"});
  expect_all(refusal({.spacing = "trailling"}), {"[spacing]", "did you mean trailing"});
  expect_all(refusal({.prediction = "epsilom"}), {"[prediction]", "did you mean epsilon"});
}

TEST(Plan, NamesWhatASamplerAllows) {
  for (const char* sampler : {"ddim", "ddpm", "pndm", "lcm", "tcd"})
    expect_all(refusal({.sampler = sampler, .schedule = "karras"}, 4),
               {sampler, "expected normal", "got karras"});
  expect_all(refusal({.sampler = "dpm2", .prediction = "sample"}),
             {"dpm2", "expected epsilon, v_prediction", "got sample"});
  expect_all(refusal({.sampler = "dpm2", .prediction = "flow"}), {"got flow_prediction"});
  expect_all(refusal({.sampler = "deis", .schedule = "karras", .prediction = "flow"}),
             {"on a flow model", "expected normal", "got karras"});
  expect_all(refusal({.sampler = "euler", .eta = 0.5}), {"[eta]", "euler", "ddim", "tcd"});
  expect_all(refusal({.sampler = "lms", .s_churn = 1}), {"[s_churn]", "lms", "heun"});
  expect_all(refusal({.sampler = "euler", .schedule = "simple", .spacing = "leading"}),
             {"[spacing]", "simple"});
  expect_all(refusal({.sampler = "ddim", .sigmas = {3, 0}}), {"[sigmas]", "ddim"});
}

TEST(Plan, RefusesValuesOutsideTheirRange) {
  expect_all(refusal({}, 0), {"[steps]", "1..10000", "got 0"});
  expect_all(refusal({}, 10'001), {"[steps]", "got 10001"});
  expect_all(refusal({.sampler = "ddim"}, 1001), {"[steps]", "ddim", "at most 1000"});
  expect_all(refusal({.sampler = "lcm"}, 51), {"[steps]", "lcm", "at most 50"});
  expect_all(refusal({.sampler = "dpmpp_2m", .spacing = "leading"}, 1000),
             {"[steps]", "at most 999", "got 1000"});
  expect_all(refusal({.sampler = "ddim", .eta = 1.5}), {"[eta]", "0..1", "1.5"});
  expect_all(refusal({.sampler = "euler", .sigmas = {1, 2, 0}}), {"[sigmas]", "falling"});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect_all(refusal({.sampler = "euler", .s_noise = nan}), {"[s_noise]"});
  expect_all(refusal({.sampler = "euler", .sigmas = {nan, 0}}), {"[sigmas]"});
}

TEST(Plan, NeedsMuWhereTheModelShiftsBySize) {
  const auto config = SchedulerConfig::from_json(
      io::Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"use_dynamic_shifting", true}});
  expect_all(refusal({}, 4, config), {"[mu]"});
}

// calculate_shift(seq), scheduler.set_timesteps(sigmas=linspace(1, 1 / 4, 4), mu=...)
TEST(Plan, ShiftsByTheNumberOfTokens) {
  auto config = SchedulerConfig::from_json(
      io::Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"use_dynamic_shifting", true}});
  config.whole_flow = true;
  EXPECT_DOUBLE_EQ(config.dynamic_shift(256), 0.5);
  EXPECT_DOUBLE_EQ(config.dynamic_shift(4096), 1.15);
  const Plan plan = make_plan(config, {.mu = config.dynamic_shift(1536)}, 4);
  const std::vector<double> expected = {1.0, 0.8599986433982849, 0.6718725562095642,
                                        0.40565770864486694, 0.0};
  EXPECT_EQ(plan.sigmas(), expected);
  config.use_dynamic_shifting = false;
  EXPECT_EQ(make_plan(config, {}, 4).sigmas(), (std::vector<double>{1.0, 0.75, 0.5, 0.25, 0.0}));
}

TEST(Plan, RefusesUnsupportedConfigurations) {
  const auto throws = [](const char* key, const io::Json& value) {
    io::Json json = {{"_class_name", "DPMSolverMultistepScheduler"}};
    json[key] = value;
    try {
      make_plan(SchedulerConfig::from_json(json), {}, 4);
    } catch (const UnsupportedModel& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  expect_all(throws("use_lu_lambdas", true), {"use_lu_lambdas"});
  expect_all(throws("beta_schedule", "cubic"), {"beta_schedule", "cubic"});
  expect_all(throws("solver_order", 4), {"solver_order", "4"});
  expect_all(throws("algorithm_type", "dpmsolver"), {"final_sigmas_type", "dpmsolver"});
  expect_all(throws("_class_name", "EDMEulerScheduler"), {"EDMEulerScheduler", "euler"});
}

TEST(Plan, FirstStepFollowsDiffusers) {
  const Plan plan = make_plan(stable_diffusion(), {.sampler = "heun"}, 50);
  EXPECT_EQ(plan.first_step(1), 0);
  EXPECT_EQ(plan.first_step(0.8), 10);
  EXPECT_EQ(plan.first_step(0.58), 22);  // int(50 * 0.58) is 28 in floating point
  EXPECT_EQ(plan.first_step(0.02), 49);
  EXPECT_THROW(plan.first_step(0.019), InvalidRequest);
  EXPECT_THROW(plan.first_step(1.1), InvalidRequest);
  EXPECT_THROW(plan.first_step(std::numeric_limits<double>::quiet_NaN()), InvalidRequest);
}

TEST(Plan, FirstStepOfFlowModelsRoundsTheStepDown) {
  const auto config =
      SchedulerConfig::from_json(io::Json{{"_class_name", "FlowMatchEulerDiscreteScheduler"}});
  EXPECT_EQ(make_plan(config, {}, 10).first_step(0.75), 2);
  EXPECT_EQ(make_plan(stable_diffusion(), {}, 10).first_step(0.75), 3);
}

TEST(Plan, AStrengthOverDistilledStepsLeavesNoneOut) {
  const SamplerOptions options{.sampler = "lcm", .distilled_strength = 0.4};
  const Plan plan = make_plan(stable_diffusion(), options, 4);
  EXPECT_EQ(plan.first_step(0.4), 0);
  EXPECT_EQ(plan.timesteps().front(), 399);  // 20 of the 50 distilled timesteps
  EXPECT_EQ(make_plan(stable_diffusion(), {.sampler = "lcm"}, 4).first_step(0.5), 2);
}

TEST(Plan, ModelsMeetAtTheTimestepThatTheShareNames) {
  // Timesteps 981, 961, ... 1; a share of 0.8 ends at 200, so that 221 is the last one.
  for (const char* sampler : {"euler", "heun", "ddim", "pndm"}) {
    const SamplerOptions options{.sampler = sampler, .spacing = "leading"};
    EXPECT_EQ(make_plan(stable_diffusion(), options, 50).handover_step(0.8), 40) << sampler;
  }
  const SamplerOptions euler{.sampler = "euler", .spacing = "leading"};
  EXPECT_EQ(make_plan(stable_diffusion(), euler, 50).takeover_step(0.8), 40);
  EXPECT_EQ(make_plan(stable_diffusion(), euler, 50).takeover_step(0.0), 0);
  EXPECT_EQ(make_plan(stable_diffusion(), euler, 50).handover_step(1.0), 50);
  // pndm's list of timesteps repeats the second one, and diffusers counts in that list.
  const SamplerOptions pndm{.sampler = "pndm", .spacing = "leading"};
  EXPECT_EQ(make_plan(stable_diffusion(), pndm, 50).takeover_step(0.8), 41);
}

TEST(Plan, NoiseAtTheEndIsTheCleanPicture) {
  const Tensor clean = at::ones({1, 4, 2, 2});
  for (const SamplerRow& row : samplers()) {
    const Plan plan = make_plan(stable_diffusion(), {.sampler = std::string(row.name)}, 5);
    EXPECT_TRUE(at::equal(plan.add_noise(clean, clean * 9, plan.step_count()), clean)) << row.name;
    const int64_t inside = plan.open_ended() ? 0 : 1;
    const Tensor noised = plan.add_noise(clean, at::zeros({1, 4, 2, 2}), inside);
    EXPECT_FALSE(at::equal(plan.add_noise(clean, clean, inside), noised)) << row.name;
  }
}

TEST(Plan, DdimUniformMayAddAStep) {
  const SamplerOptions options{.sampler = "euler", .schedule = "ddim_uniform"};
  EXPECT_EQ(make_plan(stable_diffusion(), options, 20).step_count(), 20);
  EXPECT_EQ(make_plan(stable_diffusion(), options, 7).step_count(), 8);
}

TEST(Plan, PublishedStepsAreThoseOfTheirTables) {
  const auto sigmas = [](const char* schedule, int64_t steps, bool xl) {
    return make_plan(stable_diffusion(), {.sampler = "euler", .schedule = schedule, .xl_steps = xl},
                     steps)
        .sigmas();
  };
  const auto expect = [](const std::vector<double>& actual, const std::vector<float>& expected) {
    EXPECT_EQ(actual, std::vector<double>(expected.begin(), expected.end()));
  };
  // https://github.com/zju-pi/diff-sampler/tree/main/gits-main, coefficient 1.2
  expect(sigmas("gits", 4, false), {14.61464119F, 2.36326075F, 0.92192322F, 0.36617002F, 0});
  EXPECT_EQ(sigmas("gits", 20, false)[10], 0.50118381F);
  EXPECT_EQ(sigmas("gits", 1, false).size(), 2U);
  EXPECT_EQ(sigmas("gits", 30, false).size(), 31U);
  EXPECT_EQ(sigmas("align_your_steps", 10, false)[1], 6.475F);
  EXPECT_EQ(sigmas("align_your_steps", 10, true)[1], 6.315F);
}

TEST(Plan, SomeLayTheirStepsOutFromTheStrength) {
  SamplerOptions options{.sampler = "restart", .strength = 0.5};
  const Plan half = make_plan(stable_diffusion(), options, 40);
  EXPECT_EQ(half.first_step(0.5), 0);
  EXPECT_EQ(half.step_count(), 20);
  EXPECT_LT(half.sigmas().front(), 4);
  options = {.sampler = "euler", .schedule = "turbo", .strength = 0.5};
  EXPECT_EQ(make_plan(stable_diffusion(), options, 4).timesteps().front(), 499);
  expect_all(refusal(options, 6), {"[steps]", "turbo", "at most 5", "got 6"});
  options = {.sampler = "dpm_adaptive", .strength = 0.01};
  expect_all(refusal(options, 20), {"[strength]", "leaves none"});
}

// modules/sd_samplers_extra.py of A1111's web UI: from 20 steps once, from 36 twice.
TEST(Plan, RestartGoesBackUpOnceOrTwice) {
  for (const auto& [steps, rises] :
       {std::pair<int64_t, int64_t>{19, 0}, {20, 1}, {35, 1}, {36, 2}, {39, 2}, {60, 2}}) {
    const Plan plan = make_plan(stable_diffusion(), {.sampler = "restart"}, steps);
    const std::vector<double>& timesteps = plan.timesteps();
    int64_t found = 0;
    for (size_t i = 1; i < timesteps.size(); ++i) found += timesteps[i] > timesteps[i - 1] ? 1 : 0;
    EXPECT_EQ(found, rises) << steps;
    EXPECT_EQ(plan.step_count(), steps);
  }
}

TEST(Plan, DpmSolverGoesDownFromTheLowestLevelToo) {
  for (const char* sampler : {"dpm_fast", "dpm_adaptive"}) {
    const Plan plan = make_plan(stable_diffusion(), {.sampler = sampler, .strength = 0.02}, 50);
    EXPECT_LT(plan.sigmas().back(), plan.sigmas().front()) << sampler;
    EXPECT_GT(plan.sigmas().back(), 0) << sampler;
  }
}

TEST(Plan, OpenEndedPlansCantHandOver) {
  const Plan plan = make_plan(stable_diffusion(), {.sampler = "dpm_adaptive"}, 20);
  EXPECT_TRUE(plan.open_ended());
  EXPECT_THROW(plan.handover_step(0.8), InvalidRequest);
}

TEST(Plan, RhoBelongsToTwoSchedules) {
  expect_all(refusal({.sampler = "euler", .schedule = "beta", .rho = 3}), {"[rho]", "beta"});
  const SamplerOptions flat{.sampler = "euler", .schedule = "karras", .rho = 1};
  const std::vector<double> sigmas = make_plan(stable_diffusion(), flat, 3).sigmas();
  EXPECT_NEAR(sigmas[1], (sigmas[0] + sigmas[2]) / 2, 1e-5);
}

TEST(Plan, ZeroTerminalSnrHoldsForEverySampler) {
  SchedulerConfig config = stable_diffusion();
  config.rescale_betas_zero_snr = true;
  config.prediction_type = "v_prediction";
  config.timestep_spacing = "trailing";
  for (const SamplerRow& row : samplers()) {
    const Plan plan = make_plan(config, {.sampler = std::string(row.name)}, 5);
    const bool exploding = plan.initial_noise_scale() != 1;
    EXPECT_NEAR(plan.initial_noise_scale(), exploding ? 4096 : 1, 0.01) << row.name;
  }
}

TEST(SchedulerConfig, NamesTheKeyOfAWrongType) {
  try {
    SchedulerConfig::from_json(io::Json{{"beta_start", "small"}});
    FAIL();
  } catch (const CheckpointError& error) {
    expect_all(error.what(), {"beta_start"});
  }
}

}  // namespace
}  // namespace sdrbee::sampling
