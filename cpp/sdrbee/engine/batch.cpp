#include "sdrbee/engine/batch.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/typed_error.h"

namespace sdrbee::engine {

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
  advance_all();
  tell_steps();
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
    try {
      if (std::optional<Image> preview = previewer_(picture.generation))
        job.previewed(picture.generation, picture.index, std::move(*preview));
    } catch (...) {
      job.fail(typed_error(std::current_exception()));
    }
  }
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
    work.made[static_cast<size_t>(picture.index)] =
        sdrbee::finish(*model_, std::move(picture.generation));
  } catch (...) {
    return work.job->fail(typed_error(std::current_exception()));
  }
  if (++work.finished == work.made.size()) work.job->finish(std::move(work.made));
}

}  // namespace sdrbee::engine
