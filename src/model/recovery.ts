/**
 * Replaces lost devices. A GPU device and all its memory is lost when a driver is reset, the GPU process crashes or the machine
 * is suspended. A Recovery opens another device, lets the weights be restored (origin.ts), and runs the interrupted work again
 * from its start. Results are bit-identical, because work depends only on restored weights, its seeds and its data.
 */
import type { Backend } from '../backend/backend.js';
import { unlessAborted } from '../core/abort.js';
import { DeviceError, DisposedError } from '../core/errors.js';

/** The number of losses during one piece of work, and of attempts to open a device, after which an error is thrown. */
const TRIES = 3;
/** Milliseconds between attempts to open a device. A driver may need time to restart. */
const WAIT = 500;

/** Holds `on`, everything that is on the device, and replaces it when the device fails. */
export class Recovery<P extends { readonly be: Backend }> {
  /** The number of devices replaced so far. */
  count = 0;
  private replacing: Promise<void> | undefined;
  private readonly end = new AbortController();

  /** @param remake Creates P on another device; undefined if the device belongs to the caller and cannot be replaced. */
  constructor(
    public on: P,
    private readonly remake: ((signal: AbortSignal) => Promise<P>) | undefined,
  ) {}

  /** True if a lost device is replaced. */
  get replaceable(): boolean {
    return this.remake !== undefined;
  }
  /** A signal that `dispose` aborts with its reason. */
  get ended(): AbortSignal {
    return this.end.signal;
  }

  /**
   * Runs `work`, and again from its start if the device is lost meanwhile. Throws DeviceError if there is no other device, or if
   * that is lost too; rejects with `signal.reason` when aborted while a device is being replaced.
   */
  async attempt<R>(work: (on: P) => Promise<R>, signal?: AbortSignal): Promise<R> {
    for (let losses = 1; ; losses++) {
      // A device that ran out of memory or refused a command is replaced before the next work.
      if (this.replacing || this.on.be.failure) await unlessAborted(this.replace(), signal);
      const { on } = this;
      try {
        return await work(on);
      } catch (error) {
        if (this.end.signal.aborted && error instanceof DisposedError) throw this.end.signal.reason;
        if (!on.be.lost || !this.remake || !(error instanceof DeviceError) || this.end.signal.aborted) throw error;
        if (losses === TRIES)
          throw new DeviceError(
            `${error.message} That was ${TRIES} times in a row; update the GPU's driver, give it less work or use device 'wasm'.`,
            { cause: error },
          );
      }
    }
  }

  /** Frees everything on the device. Running work ends with `reason`. */
  dispose(reason: DisposedError): void {
    this.end.abort(reason);
    this.on.be.dispose();
  }

  /** Starts a replacement, or joins one that is under way. Aborting one caller does not stop it. */
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
