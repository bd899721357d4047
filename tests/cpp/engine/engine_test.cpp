#include "sdrbee/engine/engine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "pattern_model.h"
#include "sdrbee/core/error.h"

namespace sdrbee::engine {
namespace {

using namespace std::chrono_literals;
using testing::Behaviour;
using testing::pattern_source;
using testing::request_for;

/// Long enough for any of these tiny jobs on a busy machine; reached only by a fault.
constexpr auto kLong = 60s;

std::vector<std::string> kinds(const Job& job) {
  size_t cursor = 0;
  std::vector<std::string> result;
  for (const JobEvent& event : job.events(cursor, 0s))
    if (event.kind != JobEvent::Kind::Queued) result.emplace_back(event_name(event.kind));
  return result;
}

class EngineTest : public ::testing::Test {
 protected:
  std::shared_ptr<Behaviour> behaviour = std::make_shared<Behaviour>();

  std::unique_ptr<Engine> make(const EngineOptions& options = {}) {
    return std::make_unique<Engine>(
        std::vector{pattern_source(behaviour), pattern_source(behaviour, "other")}, options);
  }

  /// A job that holds the worker inside of its first step until `behaviour->closed` is false.
  std::shared_ptr<Job> occupy(Engine& engine, int64_t steps = 3) {
    behaviour->closed = true;
    auto job = engine.submit(request_for("first", steps));
    while (job->state() == JobState::Queued) std::this_thread::sleep_for(1ms);
    return job;
  }

  ~EngineTest() override { behaviour->closed = false; }
};

const std::vector<uint8_t>& pixels(const Job& job) { return job.pictures().at(0).image.pixels; }

TEST_F(EngineTest, TellsWhatHappensAndGivesThePicture) {
  const auto engine = make();
  const auto job = engine->submit(request_for("a", 2));
  ASSERT_TRUE(job->wait(kLong));
  EXPECT_EQ(job->state(), JobState::Done);
  EXPECT_EQ(kinds(*job), (std::vector<std::string>{"started", "step", "step", "done"}));
  EXPECT_EQ(job->pictures().size(), 1U);
  EXPECT_FALSE(job->pictures()[0].recipe["batched"].get<bool>());
  size_t cursor = 0;
  job->events(cursor, 0s);
  EXPECT_TRUE(job->events(cursor, 0s).empty()) << "a reader is told everything once";
}

TEST_F(EngineTest, PicturesOfOneJobKeepTheirOrder) {
  const auto engine = make({.max_batch = 2});
  GenerationRequest request = request_for("a");
  request.count = 5;
  const auto job = engine->submit(request);
  ASSERT_TRUE(job->wait(kLong));
  ASSERT_EQ(job->pictures().size(), 5U);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(job->pictures()[i].seed, 7 + i);
}

TEST_F(EngineTest, JoinsAtTheNextStepAndLeavesWhenFinished) {
  const auto engine = make();
  const auto first = occupy(*engine, /*steps=*/6);
  const auto second = engine->submit(request_for("second one", 2));
  behaviour->closed = false;
  ASSERT_TRUE(first->wait(kLong) && second->wait(kLong));
  EXPECT_EQ(behaviour->largest_call, 2);
  EXPECT_EQ(behaviour->rows, 8);
  EXPECT_EQ(behaviour->calls, 6) << "the second one's steps are part of the first one's calls";
  EXPECT_TRUE(second->pictures()[0].recipe["batched"].get<bool>());
}

TEST_F(EngineTest, ExactStaysAloneAndOtherSizesWait) {
  const auto engine = make();
  const auto first = occupy(*engine);
  GenerationRequest exact = request_for("exact"), large = request_for("large");
  exact.exact = true;
  large.width = 128;
  const auto alone = engine->submit(exact), larger = engine->submit(large);
  behaviour->closed = false;
  ASSERT_TRUE(alone->wait(kLong) && larger->wait(kLong));
  EXPECT_EQ(behaviour->largest_call, 1);
  EXPECT_FALSE(alone->pictures()[0].recipe["batched"].get<bool>());
}

TEST_F(EngineTest, ABatchedPictureEqualsTheOneMadeAlone) {
  const auto engine = make();
  const auto alone = engine->submit(request_for("second one", 4, 3));
  ASSERT_TRUE(alone->wait(kLong));
  const auto first = occupy(*engine, 6);
  const auto batched = engine->submit(request_for("second one", 4, 3));
  behaviour->closed = false;
  ASSERT_TRUE(batched->wait(kLong));
  EXPECT_EQ(behaviour->largest_call, 2);
  EXPECT_EQ(pixels(*batched), pixels(*alone));
}

TEST_F(EngineTest, QueueIsBoundedAndOrderedByPriority) {
  const auto engine = make({.queue_limit = 3, .max_batch = 1});
  const auto first = occupy(*engine);
  const auto low = engine->submit(request_for("low"), {.priority = -1});
  const auto normal = engine->submit(request_for("normal"));
  const auto high = engine->submit(request_for("high"), {.priority = 5});
  EXPECT_THROW(engine->submit(request_for("one too many")), QueueFull);
  EXPECT_THROW(engine->check_room(1), QueueFull);
  size_t cursor = 0;
  EXPECT_EQ(low->events(cursor, 0s).back().position, 2);
  behaviour->closed = false;
  ASSERT_TRUE(low->wait(kLong));
  EXPECT_TRUE(high->ended() && normal->ended());
  EXPECT_EQ(low->events(cursor, 0s).front().position, 0) << "only the latest stays in the log";
}

TEST_F(EngineTest, CancelEndsAWaitingJobAtOnceAndARunningOneWithinAStep) {
  const auto engine = make({.max_batch = 1});
  const auto running = occupy(*engine, 1000), waiting = engine->submit(request_for("waiting"));
  waiting->cancel();
  EXPECT_EQ(waiting->state(), JobState::Cancelled);
  running->cancel();
  const int64_t calls = behaviour->calls;
  behaviour->closed = false;
  ASSERT_TRUE(running->wait(kLong));
  EXPECT_LE(behaviour->calls, calls + 1);
  EXPECT_THROW(running->pictures(), Cancelled);
  EXPECT_EQ(kinds(*waiting), std::vector<std::string>{"cancelled"});
}

TEST_F(EngineTest, DeadlinesEndWaitingAndRunningJobs) {
  const auto engine = make({.max_batch = 1});
  behaviour->closed = true;
  const auto running = engine->submit(request_for("running", 1000), {.deadline = 1s});
  while (running->state() == JobState::Queued) std::this_thread::sleep_for(1ms);
  const auto waiting = engine->submit(request_for("waiting"), {.deadline = 50ms});
  ASSERT_TRUE(waiting->wait(kLong)) << "although the worker hangs";
  EXPECT_THROW(waiting->pictures(), DeadlineExceeded);
  while (!running->overdue()) std::this_thread::sleep_for(1ms);
  EXPECT_GT(engine->status().workers[0].overdue.count(), 0.0);
  behaviour->closed = false;
  ASSERT_TRUE(running->wait(kLong));
  EXPECT_THROW(running->pictures(), DeadlineExceeded);
}

TEST_F(EngineTest, WhatOneJobThrowsLeavesTheOthersAlone) {
  const auto engine = make();
  for (const std::string fault : {"throw", "nan", "shape"}) {
    const auto good = occupy(*engine);
    const auto bad = engine->submit(request_for(fault));
    behaviour->closed = false;
    ASSERT_TRUE(good->wait(kLong) && bad->wait(kLong));
    EXPECT_EQ(good->state(), JobState::Done) << fault;
    if (fault == "throw")
      EXPECT_THROW(bad->pictures(), std::runtime_error);
    else
      EXPECT_THROW(bad->pictures(), PluginError);
  }
}

TEST_F(EngineTest, LoadsAModelAtItsFirstJobAndTellsWhyItCannot) {
  auto sources = std::vector{pattern_source(behaviour), pattern_source(behaviour, "broken")};
  sources[1].load = [](int64_t, std::optional<int64_t>) -> std::unique_ptr<ImageModel> {
    throw CheckpointError("[file] broken");
  };
  Engine engine(std::move(sources), {});
  EXPECT_EQ(behaviour->loads, 0);
  const auto good = engine.submit(request_for("a")),
             broken = engine.submit(request_for("b"), {.model = "broken"}),
             again = engine.submit(request_for("c"));
  ASSERT_TRUE(again->wait(kLong));
  EXPECT_EQ(good->state(), JobState::Done);
  EXPECT_THROW(broken->pictures(), CheckpointError);
  EXPECT_EQ(again->state(), JobState::Done);
  EXPECT_THROW(engine.submit(request_for("d"), {.model = "patern"}), InvalidRequest);
}

TEST_F(EngineTest, LoadsAndUnloadsWhenAsked) {
  const auto engine = make({.workers = 2});
  const auto loaded = [&](size_t worker) { return engine->status().workers[worker].loaded; };
  for (const auto& answer : engine->load("other")) answer.get();
  EXPECT_EQ(behaviour->loads, 2) << "one a worker";
  EXPECT_EQ(loaded(0).at(0).name, "other");
  EXPECT_EQ(loaded(1).at(0).name, "other");
  engine->unload("other");
  EXPECT_TRUE(loaded(0).empty());
  EXPECT_THROW(engine->load("none"), InvalidRequest);
  engine->stop();
  EXPECT_THROW(engine->load("other"), Cancelled);
}

TEST_F(EngineTest, ALoadWaitsForThePicturesThatAreBeingMade) {
  const auto engine = make();
  const auto running = occupy(*engine);
  const auto answer = engine->load("other").at(0);
  const auto later = engine->submit(request_for("later"));
  EXPECT_EQ(behaviour->loads, 1);
  behaviour->closed = false;
  answer.get();
  EXPECT_EQ(running->state(), JobState::Done);
  ASSERT_TRUE(later->wait(kLong));
  EXPECT_EQ(behaviour->loads, 2);
}

TEST_F(EngineTest, JobsThatWaitForOneModelLoadItOnce) {
  const auto engine = make({.max_batch = 1});
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 6; ++i)
    jobs.push_back(engine->submit(request_for("a", 1), {.model = i % 2 ? "other" : "pattern"}));
  for (const auto& job : jobs) ASSERT_TRUE(job->wait(kLong));
  EXPECT_EQ(behaviour->loads, 2) << "both stay";
}

TEST_F(EngineTest, AnIdleModelIsLetGoWithoutAnyJob) {
  const auto engine = make({.store = {.keep_alive = 1ms}});
  const auto job = engine->submit(request_for("a", 1));
  ASSERT_TRUE(job->wait(kLong));
  while (!engine->status().workers[0].loaded.empty()) std::this_thread::sleep_for(1ms);
  engine->pin("pattern", true);
  engine->load("pattern").at(0).get();
  EXPECT_TRUE(engine->status().workers[0].loaded.at(0).pinned);
  engine->pin("pattern", false);
  while (!engine->status().workers[0].loaded.empty()) std::this_thread::sleep_for(1ms);
}

TEST_F(EngineTest, SeveralWorkersShareTheQueue) {
  const auto engine = make({.workers = 2, .max_batch = 1});
  behaviour->closed = true;
  const auto one = engine->submit(request_for("one")), two = engine->submit(request_for("two"));
  while (one->state() == JobState::Queued || two->state() == JobState::Queued)
    std::this_thread::sleep_for(1ms);
  EXPECT_EQ(engine->status().workers[0].jobs.size(), 1U);
  EXPECT_EQ(engine->status().workers[1].jobs.size(), 1U);
  behaviour->closed = false;
  EXPECT_TRUE(one->wait(kLong) && two->wait(kLong));
  EXPECT_EQ(behaviour->loads, 2);
}

TEST_F(EngineTest, StopEndsAllJobsOnce) {
  auto engine = make({.max_batch = 1});
  const auto running = occupy(*engine, 1000), waiting = engine->submit(request_for("waiting"));
  std::thread opener([this] {
    std::this_thread::sleep_for(20ms);
    behaviour->closed = false;
  });
  engine->stop();
  opener.join();
  EXPECT_EQ(running->state(), JobState::Cancelled);
  EXPECT_EQ(waiting->state(), JobState::Cancelled);
  EXPECT_THROW(engine->submit(request_for("late")), Cancelled);
  engine.reset();
  running->cancel();
  EXPECT_EQ(running->state(), JobState::Cancelled) << "jobs outlive their engine";
}

TEST_F(EngineTest, ModelsMayBeAddedWhileJobsRun) {
  const auto engine = make();
  const auto first = occupy(*engine);
  EXPECT_THROW(engine->submit(request_for("b"), {.model = "late"}), InvalidRequest);
  engine->add(pattern_source(behaviour, "late"));
  EXPECT_THROW(engine->add(pattern_source(behaviour, "late")), InvalidRequest);
  const auto late = engine->submit(request_for("b"), {.model = "late"});
  behaviour->closed = false;
  ASSERT_TRUE(late->wait(kLong));
  EXPECT_EQ(late->state(), JobState::Done);
  EXPECT_EQ(engine->models().back()->name, "late");
}

TEST_F(EngineTest, RefusesImpossibleOptions) {
  EXPECT_THROW(Engine({}, {}), InvalidRequest);
  EXPECT_THROW(Engine({pattern_source(behaviour), pattern_source(behaviour)}, {}), InvalidRequest);
  EXPECT_THROW(make({.workers = 0}), InvalidRequest);
  EXPECT_THROW(make({.checkpoint_interval = -1s}), InvalidRequest);
  const auto engine = make();
  EXPECT_THROW(engine->submit(request_for("a"), {.priority = 1001}), InvalidRequest);
  EXPECT_THROW(engine->submit(request_for("a"), {.deadline = -1s}), InvalidRequest);
  EXPECT_THROW(engine->submit(request_for("a"), {.preview_every = 0}), InvalidRequest);
  EXPECT_THROW(engine->submit(request_for("a", 0)), InvalidRequest);
}

TEST_F(EngineTest, ListenersHearEveryEventWhileTheyAreHeld) {
  const auto engine = make();
  const auto running = occupy(*engine, 2);
  std::atomic<int> heard = 0;
  auto handle = running->listen([&] { ++heard; });
  std::atomic<int> gone = 0;
  running->listen([&] { ++gone; }).reset();
  behaviour->closed = false;
  ASSERT_TRUE(running->wait(kLong));
  engine->stop();  // its threads have told all then
  EXPECT_EQ(heard, 3) << "two steps and the end";
  EXPECT_EQ(gone, 0);
}

#ifdef RUSAGE_THREAD
TEST_F(EngineTest, AskingForNewsWithoutWaitingDoesNotSleep) {
  const auto engine = make();
  const auto running = occupy(*engine, 1);
  const auto sleeps = [] {
    rusage used{};
    getrusage(RUSAGE_THREAD, &used);
    return used.ru_nvcsw;
  };
  size_t cursor = 0;
  running->events(cursor, 0s);
  const long before = sleeps();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(running->events(cursor, 0s).empty());
  EXPECT_LT(sleeps() - before, 100);
  behaviour->closed = false;
}
#endif

TEST_F(EngineTest, RefusesWhatThePlanForbidsBeforeTheModelIsLoaded) {
  const auto engine = make();
  const auto refuses = [&](const std::string& part, const auto& change) {
    GenerationRequest request = request_for("a");
    change(request);
    try {
      engine->submit(request);
      ADD_FAILURE() << "accepted what [" << part << "] forbids";
    } catch (const InvalidRequest& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("[" + part + "]")) << error.what();
    }
  };
  refuses("schedule", [](auto& request) {
    request.sampler = "ddim";
    request.schedule = "karras";
  });
  refuses("steps", [](auto& request) { request.sigmas = {10.0, 1.0, 0.0}; });
  refuses("sigmas", [](auto& request) {
    request.steps.reset();
    request.sigmas = {1.0};
  });
  refuses("spacing", [](auto& request) { request.spacing = "sideways"; });
  refuses("prediction", [](auto& request) { request.prediction = "guess"; });
  refuses("eta", [](auto& request) { request.eta = 0.5; });
  refuses("strength", [](auto& request) {
    request.latents = LatentImage{4, {8, 8}, std::vector<float>(4 * 8 * 8)};
    request.strength = 0.1;
  });
  refuses("denoising_end", [](auto& request) { request.denoising_end = 0.0; });
  EXPECT_EQ(behaviour->loads, 0);
}

TEST_F(EngineTest, PreviewsAreMadeAsOftenAsTheJobAsks) {
  const auto engine = make();
  GenerationRequest request = request_for("a", 12);
  request.preview = "full";
  const auto job = engine->submit(request, {.preview_every = 5});
  ASSERT_TRUE(job->wait(kLong));
  EXPECT_EQ(behaviour->decodes, 4 + 1) << "after steps 1, 6, 11 and 12, and the picture itself";
}

TEST_F(EngineTest, OnlyTheLatestPreviewIsKept) {
  const auto engine = make();
  GenerationRequest request = request_for("a", 4);
  request.preview = "fast";
  const auto job = engine->submit(request);
  ASSERT_TRUE(job->wait(kLong));
  size_t cursor = 0;
  int64_t previews = 0, steps = 0;
  for (const JobEvent& event : job->events(cursor, 0s)) {
    previews += event.kind == JobEvent::Kind::Preview;
    steps += event.kind == JobEvent::Kind::Step;
  }
  EXPECT_EQ(previews, 1);
  EXPECT_EQ(steps, 4);
}

}  // namespace
}  // namespace sdrbee::engine
