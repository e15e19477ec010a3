// Loaded before a peer: it listens on loopback only, wherever it meant to.
"use strict";
const { Server } = require("node:net");
const listen = Server.prototype.listen;

Server.prototype.listen = function (...words) {
  if (typeof words[0] === "object" && words[0] !== null) {
    words[0] = { ...words[0], host: "127.0.0.1" };
  } else if (typeof words[1] === "string") {
    words[1] = "127.0.0.1";
  } else {
    words.splice(1, words[1] === undefined ? 1 : 0, "127.0.0.1");
  }
  return listen.apply(this, words);
};
