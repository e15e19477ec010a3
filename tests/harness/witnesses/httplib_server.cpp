// A witness on cpp-httplib, as llama.cpp's server is built on it. See process_witness.py for what it writes.
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>

#include <httplib.h>

static const char *ANSWER = "{\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";
static std::mutex writing;

// As JSON, byte for byte: those beyond ASCII as their Latin-1 characters.
static std::string quoted(const std::string &text) {
  std::string result = "\"";
  for (unsigned char byte : text) {
    char escaped[8];
    if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      result += escaped;
    } else {
      result += static_cast<char>(byte);
    }
  }
  return result + "\"";
}

static void answer(const httplib::Request &request, httplib::Response &response) {
  std::string headers;
  for (const auto &header : request.headers) {
    // Those that the library adds itself were not sent.
    if (header.first == "REMOTE_ADDR" || header.first == "REMOTE_PORT" || header.first == "LOCAL_ADDR" ||
        header.first == "LOCAL_PORT") {
      continue;
    }
    headers += (headers.empty() ? "[" : ",[") + quoted(header.first) + "," + quoted(header.second) + "]";
  }
  std::lock_guard<std::mutex> lock(writing);
  std::cout << "{\"method\":" << quoted(request.method) << ",\"target\":" << quoted(request.target)
            << ",\"headers\":[" << headers << "],\"body\":" << quoted(request.body) << "}" << std::endl;
  response.set_content(ANSWER, "application/json");
}

int main() {
  httplib::Server server;
  for (const char *path : {".*"}) {
    server.Get(path, answer).Post(path, answer).Put(path, answer).Delete(path, answer).Options(path, answer);
  }
  std::cout << server.bind_to_any_port("127.0.0.1") << std::endl;
  return server.listen_after_bind() ? 0 : 1;
}
