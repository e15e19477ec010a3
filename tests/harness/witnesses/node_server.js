// A witness on Node's http. See process_witness.py for what it writes. Only the bodies of POST are read.
const http = require("node:http");

const answer = '{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}';

const server = http.createServer((request, response) => {
  const pieces = [];
  const reply = () => {
    const headers = [];
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      headers.push([request.rawHeaders[index], request.rawHeaders[index + 1]]);
    }
    const body = Buffer.concat(pieces).toString("latin1");
    const seen = { method: request.method, target: request.url, headers, body };
    process.stdout.write(JSON.stringify(seen) + "\n");
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": answer.length });
    response.end(request.method === "HEAD" ? undefined : answer);
  };
  if (request.method === "POST") {
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", reply);
  } else {
    reply();
  }
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
