// What the page asks of the service; a problem document becomes a `Problem`.

export const TOKEN = "gliodex-token";

export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title);
    this.field = document.field || "";
    this.status = document.status;
  }
}

let askForToken = async () => "";

/** Set how a person is asked for the token. */
export function whenTokenIsWanted(ask) {
  askForToken = ask;
}

/** Fetch something; asks for the token where the service wants one. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({ detail: "the service does not answer: is it still running?", status: 0 });
    }
    if (response.status === 401) {
      sessionStorage.setItem(TOKEN, await askForToken());
      continue;
    }
    if (response.ok) return response;
    const told = await response.json().catch(() => ({ title: `the service answered ${response.status}` }));
    throw new Problem({ status: response.status, ...told });
  }
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/** Follow a job until it ends or the signal comes; calls `tell` each time it comes further, and returns how it ended. */
export async function follow(job, tell, signal) {
  for (;;) {
    let rest = "";
    let last = null;
    try {
      const response = await ask(`v1/queries/${job}/events`, { signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const data = event.split("\n").find((line) => line.startsWith("data: "));
          if (data && !event.startsWith("event: deleted")) tell((last = JSON.parse(data.slice(6))));
          if (event.startsWith("event: deleted")) throw new Problem({ detail: "the job was deleted", status: 404 });
        }
      }
    } catch (error) {
      if (error.status || signal.aborted) throw error; // otherwise the connection broke: look again
    }
    if (last && ["done", "failed", "cancelled"].includes(last.status)) return last;
    await new Promise((resume) => setTimeout(resume, 1000));
  }
}
