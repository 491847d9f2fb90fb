// Preloaded into node (`node -r`): the process ends when its standard input closes, as it does when its parent is gone.
"use strict";

let stopping = false;

process.on("SIGTERM", () => {
  // Nobody else listens yet: the program is still starting, and nothing it holds would be lost.
  if (!stopping && process.listenerCount("SIGTERM") === 1) process.exit(143);
  // Azurite listens once. Without this listener a second SIGTERM (a stop by a parent that then dies) would end it while
  // it is writing its database.
  stopping = true;
});

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
process.stdin.on("error", () => process.kill(process.pid, "SIGTERM"));
process.stdin.resume();
process.stdin.unref(); // an open pipe must not keep a program alive that has finished
