// The README's first tasks, for a client that openapi-typescript has made of the API's description. tsc looks at it: each line
// behind @ts-expect-error has to be refused.
import createClient from "openapi-fetch";
import type { components, paths } from "./types";

type Task = components["schemas"]["Task"];

const client = createClient<paths>({
  baseUrl: "http://127.0.0.1:7733",
  headers: { Authorization: "Bearer rn_example" },
});

function isTask(answer: object): answer is Task {
  return "state" in answer;
}

// A task that gives back its args, and the wait for its result.
export async function echo(): Promise<unknown> {
  const { data, response } = await client.POST("/v1/tasks", {
    params: { query: { wait: "5s" } },
    body: { kind: "echo", args: { hello: "world" } },
  });
  if (data === undefined || !isTask(data)) {
    throw new Error(`status ${response.status}`);
  }
  return [data.id, data.state, data.result];
}

// A command, and what its result is.
export async function checksum(path: string): Promise<string | null> {
  const { data, error } = await client.POST("/v1/tasks", {
    params: { query: { wait: "5s" }, header: { "Idempotency-Key": `checksum of ${path}` } },
    body: { kind: "checksum", args: { path } },
  });
  if (error !== undefined) {
    throw new Error(`${error.code}: ${error.detail} ${error.errors?.map((fault) => fault.pointer).join() ?? ""}`);
  }
  return isTask(data) ? String(data.result) : null;
}

// Submit now, ask later.
export async function sleepAndAsk(): Promise<Task["state"]> {
  const { data } = await client.POST("/v1/tasks", { body: { kind: "sleep", args: { duration: "1s" } } });
  if (data === undefined || !isTask(data)) {
    return "failed";
  }
  const task = await client.GET("/v1/tasks/{id}", { params: { path: { id: data.id }, query: { wait: "10s" } } });
  const last = task.data?.attempts.at(-1);
  console.log(task.data?.attempt, last?.error?.message ?? null, task.data?.waiting_for?.code ?? null);
  return task.data?.state ?? "failed";
}

// A task that fails twice and is tried again.
export async function retried(): Promise<(string | null)[]> {
  const { data } = await client.POST("/v1/tasks", {
    params: { query: { wait: "10s" } },
    body: {
      kind: "fail",
      args: { message: "not yet", times: 2 },
      max_attempts: 3,
      backoff: { base: "100ms", max: "200ms" },
    },
  });
  return data !== undefined && isTask(data) ? data.attempts.map((attempt) => attempt.error?.message ?? null) : [];
}

// Many at once: an array.
export async function many(): Promise<number> {
  const { data } = await client.POST("/v1/tasks", {
    body: Array.from({ length: 1000 }, (_, i) => ({ kind: "noop", args: i })),
  });
  return data !== undefined && "ids" in data ? data.count : 0;
}

// A rate, a pause, a cancel.
export async function blog(): Promise<void> {
  const path = { name: "blog" };
  const changed = await client.PATCH("/v1/queues/{name}", { params: { path }, body: { rate: "10/s", workers: 5 } });
  console.log(changed.data?.name, changed.data?.workers, changed.data?.rate);
  await client.POST("/v1/queues/{name}/pause", { params: { path }, body: { for: "10m" } });
  const list = await client.GET("/v1/tasks", { params: { query: { state: ["queued"], queue: ["blog"], limit: 10 } } });
  for (const task of list.data?.tasks ?? []) {
    await client.POST("/v1/tasks/{id}/cancel", { params: { path: { id: task.id } } });
  }
  await client.POST("/v1/queues/{name}/resume", { params: { path } });
  await client.PATCH("/v1/queues/{name}", { params: { path }, body: { rate: null, workers: null } });
}

// What is wrong is said, with its place.
export async function faulty(): Promise<string[]> {
  const { error } = await client.POST("/v1/tasks", { body: { kind: "checksum", args: {}, priority: 900 } });
  return error?.errors?.map((fault) => `${fault.pointer} ${fault.detail}`) ?? [];
}

export async function refused(): Promise<void> {
  // @ts-expect-error there is no such field
  const misspelt: components["schemas"]["NewTask"] = { kind: "noop", priorty: 1 };
  // @ts-expect-error a priority is a number
  await client.POST("/v1/tasks", { body: { ...misspelt, priority: "high" } });
  // @ts-expect-error nor such a path
  await client.GET("/v1/task");
  // @ts-expect-error nor such a state
  await client.GET("/v1/tasks", { params: { query: { state: ["done"] } } });
  // @ts-expect-error a path has its id
  await client.GET("/v1/tasks/{id}");
  const { data } = await client.GET("/v1/queues/{name}", { params: { path: { name: "blog" } } });
  // @ts-expect-error it may be null
  console.log(data?.rate.length);
}
