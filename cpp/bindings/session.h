// A loaded model and what is kept for it between calls, safe to share between Python threads.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "sdrbee/generation/generate.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::bindings {

/// A model with its Generator. Calls from several threads run one after the other.
class Session {
 public:
  explicit Session(std::unique_ptr<ImageModel> model)
      : model_(std::move(model)), generator_(*model_) {}

  /// Holds the model for one call. Take it without the GIL: another holder may need the GIL to
  /// get on. Throws InvalidRequest when this thread holds the model already (a step callback that
  /// calls its own model), where waiting would never end.
  class Lock {
   public:
    explicit Lock(Session& session) : session_(session) {
      if (session.owner_ == std::this_thread::get_id())
        throw InvalidRequest(
            "[on_step] the model is busy with the generation that called back; start another one "
            "after it, or load the model twice");
      lock_ = std::unique_lock(session.mutex_);
      session.owner_ = std::this_thread::get_id();
    }
    ~Lock() { session_.owner_ = std::thread::id(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    Session& session_;
    std::unique_lock<std::mutex> lock_;
  };

  /// Needs no lock: it never changes after loading.
  const ModelInfo& info() const { return model_->info(); }

  /// Loads only while a Lock is held; its states can be asked for at any time.
  WeightMemory& memory() { return model_->memory(); }

  /// Both only while a Lock is held.
  ImageModel& model() { return *model_; }
  Generator& generator() { return generator_; }

 private:
  std::unique_ptr<ImageModel> model_;
  Generator generator_;
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_;
};

}  // namespace sdrbee::bindings
