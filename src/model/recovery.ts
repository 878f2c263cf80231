/**
 * A GPU device can be lost: a driver is reset, the GPU process crashes, the machine is suspended. All its memory is lost with it.
 * This file replaces the device, has the weights restored (origin.ts), and runs the interrupted work again from its start. Results
 * are the same to the bit, since work reads only restored weights, its seeds and its data.
 */
import type { Backend } from '../backend/backend.js';
import { unlessAborted } from '../core/abort.js';
import { DeviceError, DisposedError } from '../core/errors.js';

/** Losses in a row of one piece of work, and attempts to open a device, before an error is thrown. */
const TRIES = 3;
/** Milliseconds before the next attempt to open a device; a driver may need time to restart. */
const WAIT = 500;

/** Holds everything that lies on a device, `on`, and replaces it when the device fails. */
export class Recovery<P extends { readonly be: Backend }> {
  /** Number of devices replaced so far. */
  count = 0;
  private replacing: Promise<void> | undefined;
  private readonly end = new AbortController();

  /** @param remake makes P again on another device; undefined where the device is the caller's and cannot be replaced. */
  constructor(
    public on: P,
    private readonly remake: ((signal: AbortSignal) => Promise<P>) | undefined,
  ) {}

  get replaceable(): boolean {
    return this.remake !== undefined;
  }
  /** Aborted by `dispose`, with its reason. */
  get ended(): AbortSignal {
    return this.end.signal;
  }

  /**
   * Runs `work`, and again from its start when the device was lost during it. Throws DeviceError when there is no other device or
   * that is lost too; rejects with `signal.reason` when aborted while a device is being replaced.
   */
  async attempt<R>(work: (on: P) => Promise<R>, signal?: AbortSignal): Promise<R> {
    for (let losses = 1; ; losses++) {
      // A device that ran out of memory or refused a command is replaced too, before the next work.
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

  /** Frees everything on the device. Work that is running ends with `reason`. */
  dispose(reason: DisposedError): void {
    this.end.abort(reason);
    this.on.be.dispose();
  }

  /** All waiting work shares one replacement, which goes on when some of that work is aborted. */
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
