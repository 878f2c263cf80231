/** The JavaScript runtime, detected at call time: importing this module has no side effect. */

export type Runtime = 'node' | 'deno' | 'bun' | 'browser' | 'worker';

interface Globals {
  process?: { versions?: { node?: string }; version?: string };
  Deno?: { version: { deno: string } };
  Bun?: { version: string };
  document?: unknown;
}

export function runtime(): { name: Runtime; version: string } {
  const g = globalThis as unknown as Globals;
  if (g.Deno) return { name: 'deno', version: g.Deno.version.deno };
  if (g.Bun) return { name: 'bun', version: g.Bun.version };
  if (g.process?.versions?.node) return { name: 'node', version: g.process.versions.node };
  return { name: g.document ? 'browser' : 'worker', version: globalThis.navigator?.userAgent ?? '' };
}

/** An environment variable; undefined if it is empty or may not be read (Deno). */
export function environment(name: string): string | undefined {
  try {
    return globalThis.process?.env?.[name] || undefined;
  } catch {
    return undefined;
  }
}

/** Whether AIM_DEBUG, in the environment or a global variable (browsers), names `what`, e.g. `shaders`; several are separated by commas. */
export function debugging(what: string): boolean {
  const asked = environment('AIM_DEBUG') ?? (globalThis as { AIM_DEBUG?: string }).AIM_DEBUG;
  return asked?.split(',').includes(what) ?? false;
}

/** Dawn's toggles: those given, else the words of the environment variable AIM_DAWN. */
export const dawnToggles = (given?: readonly string[]): string[] => [...(given ?? environment('AIM_DAWN')?.match(/\S+/g) ?? [])];

/** Imports a module that only some runtimes have. The name is a variable so that browser bundlers do not try to include it. */
export function importOptional<T>(name: string): Promise<T> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ name) as Promise<T>;
}

/** Number of processors that this process may use; 1 if unknown. */
export async function processors(): Promise<number> {
  const reported = (globalThis.navigator as Navigator | undefined)?.hardwareConcurrency;
  if (reported !== undefined || runtime().name !== 'node') return reported ?? 1;
  return (await importOptional<typeof import('node:os')>('node:os')).availableParallelism();
}

/** Lets timers, input events and abort signals run between two pieces of synchronous work. */
export function pause(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    }
  });
}

/** True where files can be opened by path: Node, Deno and Bun. */
export function hasFiles(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return typeof process?.versions?.node === 'string';
}
