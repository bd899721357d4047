// Cancelling work from another thread.
#pragma once

#include <atomic>
#include <memory>

#include "sdrbee/core/error.h"

namespace sdrbee {

/// A flag shared by who works and who may cancel; copies share the flag. Safe from any thread.
class CancelToken {
 public:
  void cancel() { cancelled_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }

  /// Throws Cancelled once cancel() was called.
  void check() const {
    if (cancelled()) throw Cancelled("the generation was cancelled");
  }

 private:
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace sdrbee
