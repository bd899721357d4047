#include "sdrbee/generation/generate.h"

#include "sdrbee/core/error.h"

namespace sdrbee {

std::vector<GeneratedImage> Generator::generate(const GenerationRequest& request,
                                                const StepObserver& observer,
                                                const CancelToken& cancel) {
  std::vector<GeneratedImage> pictures;
  for (const GenerationRequest& single : split_count(resolve(request, model_->info()))) {
    Generation generation = begin(*model_, single);
    run({&generation, 1}, static_cast<int64_t>(pictures.size()), observer, cancel);
    pictures.push_back(finish(*model_, std::move(generation)));
  }
  return pictures;
}

std::vector<GeneratedImage> Generator::generate_batch(std::span<const GenerationRequest> requests,
                                                      const StepObserver& observer,
                                                      const CancelToken& cancel) {
  std::vector<Generation> generations;
  for (const GenerationRequest& request : requests) {
    if (request.count != 1)
      throw InvalidRequest(message("[count] expected 1 in a batch but got ", request.count,
                                   "; give one request a picture"));
    generations.push_back(begin(*model_, request));
  }
  run(generations, 0, observer, cancel);
  std::vector<GeneratedImage> pictures;
  for (Generation& generation : generations)
    pictures.push_back(finish(*model_, std::move(generation)));
  return pictures;
}

void Generator::run(std::span<Generation> generations, int64_t first_index,
                    const StepObserver& observer, const CancelToken& cancel) {
  while (true) {
    std::vector<Generation*> unfinished;
    for (Generation& generation : generations)
      if (!generation.done()) unfinished.push_back(&generation);
    if (unfinished.empty()) return;
    advance(*model_, unfinished, cancel);
    if (!observer) continue;
    for (const Generation* generation : unfinished)
      observer({first_index + (generation - generations.data()), generation->steps_taken(),
                generation->steps_total(), previewer_(*generation)});
  }
}

}  // namespace sdrbee
