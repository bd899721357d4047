#include "sdrbee/engine/batch.h"

#include <algorithm>
#include <set>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/typed_error.h"

namespace sdrbee::engine {
namespace {

/// Whether the picture's latest step is one that a preview is made of.
bool shows(const Picture& picture) {
  const int64_t every = picture.work->job->options().preview_every;
  return picture.generation.done() || (picture.generation.steps_taken() - 1) % every == 0;
}

}  // namespace

void Work::resume() {
  if (const auto resumed = job->checkpoint()) progress = read_checkpoint(*resumed, job->request());
}

void Work::hand_over_checkpoint() {
  if (!origin) origin = checkpoint_origin(job->request());
  job->checkpointed(write_checkpoint(*origin, progress));
  checkpointed = Clock::now();
}

bool Work::is_over() {
  if (job->cancel_token().cancelled()) job->end_cancelled();
  if (!job->ended() && job->overdue()) job->fail_overdue();
  return job->ended();
}

bool Batch::takes(const Picture& picture) const {
  if (pictures_.empty()) return true;
  const Generation& first = pictures_.front().generation;
  return !full() && batch_key(first) == batch_key(picture.generation);
}

void Batch::step() {
  drop_those_over();
  finish_those_done();  // a checkpoint may have been taken behind a picture's last step
  if (empty()) return;
  advance_all();
  tell_steps();
  checkpoint_where_due();
  finish_those_done();
  drop_those_over();
}

void Batch::drop_those_over() {
  std::erase_if(pictures_, [](const Picture& picture) { return picture.work->is_over(); });
}

void Batch::advance_all() {
  std::vector<Generation*> together;
  for (Picture& picture : pictures_) together.push_back(&picture.generation);
  try {
    sdrbee::advance(*model_, together);
    return;
  } catch (...) {
    if (together.size() == 1)
      return pictures_.front().work->job->fail(typed_error(std::current_exception()));
  }
  // The step left no trace. Whose fault it was shows when each takes it alone.
  for (Picture& picture : pictures_) {
    try {
      Generation* const alone = &picture.generation;
      sdrbee::advance(*model_, {&alone, 1});
    } catch (...) {
      picture.work->job->fail(typed_error(std::current_exception()));
    }
  }
}

void Batch::tell_steps() {
  for (Picture& picture : pictures_) {
    Job& job = *picture.work->job;
    if (job.ended()) continue;
    job.stepped(picture.generation, picture.index);
    if (!shows(picture)) continue;
    try {
      if (std::optional<Image> preview = (*previewer_)(picture.generation))
        job.previewed(picture.generation, picture.index, std::move(*preview));
    } catch (...) {
      job.fail(typed_error(std::current_exception()));
    }
  }
  for (const Picture& picture : pictures_) picture.work->job->wake();
}

void Batch::checkpoint() {
  checkpoint([](const Work&) { return true; });
}

void Batch::checkpoint_where_due() {
  if (!checkpoint_interval_) return;
  const Clock::time_point now = Clock::now();
  checkpoint([&](const Work& work) { return now - work.checkpointed >= *checkpoint_interval_; });
}

void Batch::checkpoint(const std::function<bool(const Work&)>& wanted) {
  std::set<Work*> works;
  for (const Picture& picture : pictures_)
    if (!picture.work->job->ended() && wanted(*picture.work)) works.insert(picture.work.get());
  for (Work* work : works) {
    try {
      for (const Picture& picture : pictures_)
        if (picture.work.get() == work) keep(picture);
      work->hand_over_checkpoint();
    } catch (...) {
      work->job->fail(typed_error(std::current_exception()));
    }
  }
}

void Batch::keep(const Picture& picture) {
  picture.work->progress[static_cast<size_t>(picture.index)] =
      save_progress(picture.generation, model_->info());
}

void Batch::finish_those_done() {
  const auto done = std::ranges::stable_partition(
      pictures_, [](const Picture& picture) { return !picture.generation.done(); });
  for (Picture& picture : done)
    if (!picture.work->is_over()) finish(picture);
  pictures_.erase(done.begin(), done.end());
}

void Batch::finish(Picture& picture) {
  Work& work = *picture.work;
  try {
    if (checkpoint_interval_ && work.requests.size() > 1) keep(picture);
    work.made[static_cast<size_t>(picture.index)] =
        sdrbee::finish(*model_, std::move(picture.generation));
  } catch (...) {
    return work.job->fail(typed_error(std::current_exception()));
  }
  if (++work.finished == work.made.size()) work.job->finish(std::move(work.made));
}

}  // namespace sdrbee::engine
