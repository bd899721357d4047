#include "sdrbee/engine/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pattern_model.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/sealed_json.h"

namespace sdrbee::engine {
namespace {

using namespace std::chrono_literals;
using testing::Behaviour;
using testing::pattern_source;
using testing::request_for;
using Bytes = std::vector<uint8_t>;

constexpr auto kLong = 60s;
const EngineOptions kEachStep{.checkpoint_interval = 0s};

class JobCheckpointTest : public ::testing::Test {
 protected:
  std::shared_ptr<Behaviour> behaviour = std::make_shared<Behaviour>();

  std::unique_ptr<Engine> make(const EngineOptions& options = kEachStep) {
    return std::make_unique<Engine>(std::vector{pattern_source(behaviour)}, options);
  }

  std::vector<GeneratedImage> pictures(const GenerationRequest& request, Bytes resume = {}) {
    const auto engine = make({});
    const auto job = engine->submit(request, {.resume = std::move(resume)});
    EXPECT_TRUE(job->wait(kLong));
    return job->pictures();
  }

  /// The last checkpoint of a job that was cancelled inside of its network call number `calls`: of
  /// the step that the call belongs to.
  Bytes interrupted(const GenerationRequest& request, int64_t calls,
                    const EngineOptions& options = kEachStep) {
    behaviour->calls = 0;
    behaviour->closes_after = calls - 1;
    const auto engine = make(options);
    const auto job = engine->submit(request);
    while (!behaviour->closed) std::this_thread::sleep_for(1ms);
    job->cancel();
    behaviour->closes_after = -1;
    behaviour->closed = false;
    EXPECT_TRUE(job->wait(kLong));
    EXPECT_EQ(job->state(), JobState::Cancelled);
    return job->checkpoint() ? *job->checkpoint() : Bytes();
  }
};

std::vector<Bytes> pixels(const std::vector<GeneratedImage>& pictures) {
  std::vector<Bytes> all;
  for (const GeneratedImage& picture : pictures) all.push_back(picture.image.pixels);
  return all;
}

TEST_F(JobCheckpointTest, AResumedJobMakesTheIdenticalPictureAndTellsTheStepsThatAreLeft) {
  for (const std::string sampler : {"euler", "euler_ancestral", "dpmpp_2m", "heun"}) {
    GenerationRequest request = request_for("a", 6);
    request.sampler = sampler;
    const auto whole = pictures(request);
    const int64_t calls = sampler == "heun" ? 5 : 3;
    const Bytes kept = interrupted(request, calls);
    const auto engine = make({});
    const auto job = engine->submit(request, {.resume = kept});
    ASSERT_TRUE(job->wait(kLong));
    EXPECT_EQ(pixels(job->pictures()), pixels(whole)) << sampler;
    EXPECT_EQ(job->pictures()[0].recipe, whole[0].recipe);
    size_t cursor = 0;
    std::vector<int64_t> steps;
    for (const JobEvent& event : job->events(cursor, 0s))
      if (event.kind == JobEvent::Kind::Step) steps.push_back(event.step);
    EXPECT_EQ(steps, (std::vector<int64_t>{4, 5, 6})) << sampler;
  }
}

TEST_F(JobCheckpointTest, HoldsFinishedRunningAndWaitingPictures) {
  GenerationRequest request = request_for("a", 4);
  request.count = 5;
  const auto whole = pictures(request);
  // Two at a time: the first two are finished, the next two in the middle, the last one waits.
  const Bytes kept = interrupted(request, 6, {.max_batch = 2, .checkpoint_interval = 0s});
  const Progress progress =
      read_checkpoint(kept, plan_request(request, testing::PatternModel::static_info()).request);
  EXPECT_EQ(progress[1]["next_step"], 4);
  EXPECT_EQ(progress[3]["next_step"], 2);
  EXPECT_TRUE(progress[4].is_null());
  behaviour->rows = 0;
  const auto resumed = pictures(request, kept);
  EXPECT_EQ(behaviour->rows, 2 * 2 + 4) << "only what was left";
  EXPECT_EQ(pixels(resumed), pixels(whole));
  EXPECT_TRUE(resumed[0].recipe["batched"].get<bool>()) << "also after it";
}

TEST_F(JobCheckpointTest, TellsOfTheLatestOnly) {
  const auto engine = make();
  const auto job = engine->submit(request_for("a", 4));
  ASSERT_TRUE(job->wait(kLong));
  size_t cursor = 0;
  std::vector<std::string> kinds;
  for (const JobEvent& event : job->events(cursor, 0s)) kinds.emplace_back(event_name(event.kind));
  EXPECT_EQ(std::ranges::count(kinds, "checkpoint"), 1);
  EXPECT_EQ(kinds.back(), "done");
  EXPECT_NE(job->checkpoint(), nullptr) << "also after the end";
  const auto without = make({})->submit(request_for("a", 4));
  EXPECT_EQ(without->checkpoint(), nullptr);
}

TEST_F(JobCheckpointTest, WaitsForTheInterval) {
  const auto engine = make({.checkpoint_interval = std::chrono::hours(1)});
  const auto job = engine->submit(request_for("a", 4));
  ASSERT_TRUE(job->wait(kLong));
  EXPECT_EQ(job->checkpoint(), nullptr);
}

TEST_F(JobCheckpointTest, StopTakesALastOneWhenAsked) {
  for (const bool asked : {true, false}) {
    const GenerationRequest request = request_for("a", 1000);
    auto engine = make({});
    const auto job = engine->submit(request);
    while (behaviour->calls < 3) std::this_thread::sleep_for(1ms);
    engine->stop(asked);
    EXPECT_EQ(job->state(), JobState::Cancelled);
    EXPECT_EQ(job->checkpoint() != nullptr, asked);
    behaviour->calls = 0;
  }
}

TEST_F(JobCheckpointTest, AJobThatWaitsKeepsWhatItWasGiven) {
  const GenerationRequest request = request_for("a", 6);
  const Bytes kept = interrupted(request, 4);
  auto engine = make();
  behaviour->closed = true;
  const auto running = engine->submit(request_for("b"));
  while (running->state() == JobState::Queued) std::this_thread::sleep_for(1ms);
  const auto waiting = engine->submit(request, {.priority = -1, .resume = kept});
  EXPECT_EQ(*waiting->checkpoint(), kept);
  behaviour->closed = false;
  engine->stop(true);
}

TEST_F(JobCheckpointTest, TakesTheSeedFromTheCheckpoint) {
  GenerationRequest request = request_for("a", 6);
  const Bytes kept = interrupted(request, 4);
  const auto whole = pictures(request);
  request.seed.reset();
  EXPECT_EQ(pixels(pictures(request, kept)), pixels(whole));
}

TEST_F(JobCheckpointTest, RefusesDamagedBytesAndThoseOfOtherRequests) {
  const GenerationRequest request = request_for("a", 6);
  const Bytes kept = interrupted(request, 4);
  const auto engine = make();
  const auto refuses = [&](const GenerationRequest& of, Bytes bytes) {
    EXPECT_THROW(engine->submit(of, {.resume = std::move(bytes)}), CheckpointError);
  };
  for (size_t length = 1; length < kept.size(); length += 97)
    refuses(request, Bytes(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(length)));
  for (size_t place = 0; place < kept.size(); place += 97) {
    Bytes flipped = kept;
    flipped[place] ^= static_cast<uint8_t>(1 << (place % 8));
    refuses(request, std::move(flipped));
  }
  refuses(request, Bytes(1000, 0xff));
  refuses(request, seal({{"origin", nullptr}}));
  refuses(request, seal({{"origin", nullptr}, {"progress", nullptr}}));
  refuses(request_for("another", 6), kept);
  refuses(request_for("a", 7), kept);
  GenerationRequest without_seed = request;
  without_seed.seed.reset();
  refuses(without_seed, seal({{"origin", nullptr}, {"progress", nullptr}}));
}

TEST_F(JobCheckpointTest, ProgressThatDoesNotFitFailsTheJob) {
  const GenerationRequest request =
      plan_request(request_for("a", 6), testing::PatternModel::static_info()).request;
  const Bytes kept = interrupted(request, 4);
  const Progress progress = read_checkpoint(kept, request);
  const auto engine = make();
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, nlohmann::json>>{{"next_step", 99},
                                                                     {"latents", nullptr},
                                                                     {"noise", 7},
                                                                     {"model", "another"},
                                                                     {"history", {{"tensors", 1}}},
                                                                     {"format", 1},
                                                                     {"pass", 1}}) {
    Progress changed = progress;
    changed[0][key] = value;
    const auto job =
        engine->submit(request, {.resume = write_checkpoint(checkpoint_origin(request), changed)});
    ASSERT_TRUE(job->wait(kLong));
    EXPECT_THROW(job->pictures(), CheckpointError) << key;
  }
}

}  // namespace
}  // namespace sdrbee::engine
