// (b) The same bare job on fastify and undici: eight requests side by side, parse, merge, answer.
import Fastify from "fastify";
import { Pool } from "undici";

const [upstream, ...paths] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 256 });
const app = Fastify({ logger: false });

async function ask(path, uscc) {
  const { body } = await pool.request({
    path,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uscc }),
  });
  return body.json();
}

app.post("/v1/profiles", async (request) => {
  const { uscc } = request.body.subject;
  const found = await Promise.all(paths.map((path) => ask(path, uscc)));
  return { uscc, sections: Object.fromEntries(paths.map((path, n) => [path.slice(1), found[n].rows])) };
});

await app.listen({ host: "127.0.0.1", port: 0 });
console.log(app.server.address().port);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
