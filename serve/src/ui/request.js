// Requests to the server that the page is from. Paths are relative, so that a program may put the routes below a path of its own.

/** The key that requests have. It is taken from the field when "Connect" is pressed, and stored nowhere else. */
let apiKey = "";

/** An answer that is an error, in the server's words. */
class ServerError extends Error {
  constructor(status, text, retryAfter) {
    super(`${status}: ${text}` + (retryAfter ? ` (try again in ${retryAfter} s)` : ""));
    this.status = status;
  }
}

/** The words of an error, in the form of any of the protocols. */
function errorText(text) {
  try {
    const { error, message } = JSON.parse(text);
    const found = error?.message ?? error ?? message;
    if (typeof found === "string") return found;
  } catch {
    // No JSON: a proxy in front of the server, for example. Its text is shown as it is.
  }
  return text.trim().slice(0, 2000) || "the answer is empty";
}

/** The answer to a GET, or with a body to a POST: its JSON, its headers, and the milliseconds until all of it was here. */
async function ask(path, body, signal) {
  const headers = {};
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  const options = { headers, signal, cache: "no-store" };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  const began = performance.now();
  const reply = await fetch(path, options);
  const text = await reply.text();
  const took = performance.now() - began;
  if (!reply.ok) throw new ServerError(reply.status, errorText(text), reply.headers.get("retry-after"));
  return { json: JSON.parse(text), headers: reply.headers, took };
}
