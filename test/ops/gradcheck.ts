/** Backward entries against central differences of the forward entry, in float64 on the reference backend. */
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { AnyEntry, TensorSpec } from '../../src/ops/spec.js';
import { type Case, inputs, normal, type OpCases, rng } from './harness.js';

export const EPS = 1e-6;
export const ATOL = 1e-5;
export const RTOL = 1e-3;
/** Elements of a tensor that are checked; of larger ones, this many at random. */
const ELEMENTS = 40;

type Values = Record<string, Float64Array | Uint32Array>;
export type Loss = (inputs: Values) => Promise<number>;

/** Wrong elements of `gradient` of `loss` with respect to `values[name]`, as text. */
export async function compare(
  loss: Loss,
  values: Values,
  name: string,
  gradient: ArrayLike<number>,
  seed = 1,
): Promise<string[]> {
  const x = values[name]!;
  const random = rng(seed);
  const wrong: string[] = [];
  for (let n = 0; n < Math.min(x.length, ELEMENTS); n++) {
    const i = x.length <= ELEMENTS ? n : Math.floor(random() * x.length);
    const at = async (shift: number) => loss({ ...values, [name]: x.map((v, j) => (j === i ? v + shift : v)) as Float64Array });
    const want = ((await at(EPS)) - (await at(-EPS))) / (2 * EPS);
    const got = gradient[i]!;
    if (!(Math.abs(got - want) <= ATOL + RTOL * Math.abs(want))) wrong.push(`d${name}[${i}] = ${got}, expected ${want}`);
  }
  return wrong;
}

/** Runs an entry on named values; tensors that it writes and that are not given start at 0. All values are returned. */
export async function run(entry: AnyEntry, values: Values, dims: Case): Promise<Values> {
  const backend = new ReferenceBackend();
  const given = { ...values };
  const tensors = Object.fromEntries(
    (entry.names as string[])
      .filter((name) => !dims.omit?.includes(name))
      .map((name) => {
        const { shape, dtype = 'f32' } = entry.tensors[name] as TensorSpec;
        const sizes = shape.split(' ').map((w) => (dims[w] as number | undefined) ?? Number(w));
        const size = sizes.reduce((a, b) => a * b, 1);
        return [name, backend.from(given[name] ?? new Float64Array(size), sizes, dtype)];
      }),
  );
  const attrs = Object.fromEntries(entry.attrNames.map((n) => [n, dims[n] as number]));
  backend.run(entry, tensors as never, attrs as never);
  for (const [name, t] of Object.entries(tensors)) given[name] = (await backend.read(t)) as Float64Array | Uint32Array;
  return given;
}

/**
 * Checks every gradient that `backward`'s entries (run in turn) give of Σ y·dy, y the output of `forward`: of input `x` it is
 * the tensor `dx`, summed over partial sums if there are several. Gradients that accumulate must add to what was there.
 */
export async function gradcheck(
  forward: AnyEntry,
  backward: AnyEntry[],
  c: Case,
  fill?: OpCases['fill'],
  seed = 1,
): Promise<string[]> {
  const op = { entry: forward, cases: [], ...(fill && { fill }) };
  const given: Values = {};
  for (const [name, v] of Object.entries(inputs(op, c, seed))) if (v.spec.io === 'in') given[name] = v.data;
  const output = (await run(forward, given, c)).y!;
  const random = rng(seed + 1);
  const dy = output.map(() => normal(random));
  const loss: Loss = async (values) => Array.from((await run(forward, values, c)).y!).reduce((sum, v, i) => sum + v * dy[i]!, 0);

  const wrong: string[] = [];
  let values: Values = { ...given, y: output, dy };
  for (const entry of backward) {
    const before: Values = {};
    for (const name of entry.names) {
      const { io, shape } = entry.tensors[name] as TensorSpec;
      if (io !== 'inout' || c.omit?.includes(name)) continue;
      before[name] = new Float64Array(shape.split(' ').reduce((n, w) => n * (c[w] as number), 1)).map(() => normal(random));
    }
    values = await run(entry, { ...values, ...before }, c);
    for (const name of entry.names) {
      const of = name.slice(1);
      if (name[0] !== 'd' || !given[of] || (entry.tensors[name] as TensorSpec).io === 'in' || c.omit?.includes(name)) continue;
      const gradient = new Float64Array(given[of].length);
      values[name]!.forEach((v, i) => {
        gradient[i % gradient.length]! += v - (before[name]?.[i] ?? 0);
      });
      wrong.push(...(await compare(loss, given, of, gradient, seed)));
    }
  }
  return wrong.map((w) => `${forward.op} ${JSON.stringify(c)}: ${w}`);
}
