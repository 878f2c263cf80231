/** Work and pauses that end early when any of several AbortSignals does. */

/** Waits `ms` milliseconds. Rejects with the reason of the first of `signals` that is aborted meanwhile. */
export async function delay(ms: number, signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  const control = new AbortController();
  await abortable(
    control,
    signals,
    () =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        control.signal.addEventListener('abort', () => {
          clearTimeout(timer);
          reject(control.signal.reason);
        });
      }),
  );
}

/** Runs `work`. When one of `signals` is aborted, `control` is too, and the reason of that signal is thrown. */
export async function abortable<T>(
  control: AbortController,
  signals: readonly (AbortSignal | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  for (const s of signals) s?.throwIfAborted();
  const stop = (event: Event) => control.abort((event.target as AbortSignal).reason);
  for (const s of signals) s?.addEventListener('abort', stop);
  try {
    return await work();
  } catch (error) {
    for (const s of signals) s?.throwIfAborted();
    throw error;
  } finally {
    for (const s of signals) s?.removeEventListener('abort', stop);
  }
}
