// What every function of the shim that may fail is wrapped in.

#pragma once

#include <algorithm>
#include <exception>
#include <new>
#include <string>

#include <c10/util/Exception.h>

namespace limn {

// What happened in the last call on this thread that failed.
inline thread_local std::string last_error;

// Of what libtorch says the first line is for people; lists of its kernels follow.
inline void remember(std::string text) {
  last_error = text.substr(0, std::min(text.find('\n'), static_cast<size_t>(400)));
}

// 0 when the work was done; 2 when memory ran out, 1 when it failed otherwise.
template <typename Work>
int guarded(Work work) {
  try {
    work();
    return 0;
  } catch (const c10::OutOfMemoryError& error) {
    remember(error.what_without_backtrace());
    return 2;
  } catch (const std::bad_alloc&) {
    last_error = "the system has no memory left";
    return 2;
  } catch (const c10::Error& error) {
    remember(error.what_without_backtrace());
    return last_error.find("out of memory") != std::string::npos ||
            last_error.find("can't allocate memory") != std::string::npos
        ? 2
        : 1;
  } catch (const std::exception& error) {
    remember(error.what());
    return 1;
  } catch (...) {
    last_error = "something that is no exception was thrown";
    return 1;
  }
}

}  // namespace limn
