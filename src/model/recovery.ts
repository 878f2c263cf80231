/**
 * A lost GPU device (a driver that was reset, a crashed GPU process, a suspended machine) takes all memory along. Here is the
 * one place that answers to it: everything on the device is made anew on another, and the work is begun again from its start.
 * That gives the very same results, since work reads nothing but what was restored, its seeds and its data.
 */
import type { Backend } from '../backend/backend.js';
import { DeviceError, type DisposedError } from '../core/errors.js';

/** Losses of one piece of work in a row, and tries to get a new device, before it ends with an error. */
const TRIES = 3;
/** Pause before another try for a device, ms; a driver needs its time. */
const WAIT = 500;

/** Holds what lies on a device, `on`, and replaces it when the device fails. */
export class Recovery<P extends { readonly be: Backend }> {
  /** Devices replaced so far. */
  count = 0;
  private replacing: Promise<void> | undefined;
  private readonly end = new AbortController();

  /** @param remake makes all of P anew on a new device; missing where that cannot be (the device is the caller's). */
  constructor(
    public on: P,
    private readonly remake: ((signal: AbortSignal) => Promise<P>) | undefined,
  ) {}

  /**
   * Runs `work`, again from its start when the device was lost meanwhile. Throws DeviceError when there is no other device or
   * that is lost too; rejects with `signal.reason` when aborted while a device is being replaced.
   */
  async attempt<R>(work: (on: P) => Promise<R>, signal?: AbortSignal): Promise<R> {
    for (let losses = 1; ; losses++) {
      // One that ran out of memory or refused a command is no good either, for the work after.
      if (this.replacing || this.on.be.failure) await unlessAborted(this.replace(), signal);
      const { on } = this;
      try {
        return await work(on);
      } catch (error) {
        if (!on.be.lost || !this.remake || !(error instanceof DeviceError) || this.end.signal.aborted) throw error;
        if (losses === TRIES)
          throw new DeviceError(
            `${error.message} That was ${TRIES} times in a row; update the GPU's driver, give it less work or use device 'wasm'.`,
            { cause: error },
          );
      }
    }
  }

  /** Frees what is on the device; work under way ends with DisposedError. */
  dispose(reason: DisposedError): void {
    this.end.abort(reason);
    this.on.be.dispose();
  }

  /** One replacement serves all who wait for it, and goes on when one of them no longer does. */
  private replace(): Promise<void> {
    this.replacing ??= this.newDevice().finally(() => {
      this.replacing = undefined;
    });
    return this.replacing;
  }

  private async newDevice(): Promise<void> {
    const { signal } = this.end;
    signal.throwIfAborted();
    const { be } = this.on;
    if (!this.remake) throw be.failure!;
    be.dispose();
    for (let tries = 1; ; tries++) {
      try {
        this.on = await this.remake(signal);
        this.count++;
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (tries < TRIES && error instanceof DeviceError) {
          await unlessAborted(new Promise((resolve) => setTimeout(resolve, WAIT * tries)), signal);
          continue;
        }
        throw new DeviceError(`${be.failure!.message} Another device could not take over: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  }
}

/** `work`, or the signal's reason as soon as it is aborted. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
