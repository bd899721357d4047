// The errors of sdrbee: a small tree that Python mirrors one to one.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace sdrbee {

/// Base of all errors that sdrbee throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something impossible: a field is out of range or fields contradict.
class InvalidRequest : public Error {
 public:
  using Error::Error;
};

/// A model file is missing, damaged or does not hold what it should; names file, key and shapes.
class CheckpointError : public Error {
 public:
  using Error::Error;
};

/// The model is well-formed but of a kind that this build does not run.
class UnsupportedModel : public Error {
 public:
  using Error::Error;
};

/// An allocation failed; the process is fine and a smaller job may work.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// The work was cancelled before its end.
class Cancelled : public Error {
 public:
  using Error::Error;
};

/// The engine's queue is at its limit.
class QueueFull : public Error {
 public:
  using Error::Error;
};

/// A bug of sdrbee: an internal condition did not hold.
class InternalError : public Error {
 public:
  using Error::Error;
};

/// Joins values into one message: `throw InvalidRequest(message("[steps] expected 1..", max))`.
template <typename... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace sdrbee
