/** Lets an AbortSignal end a wait. */

/** The result of `work`. Rejects with the reason of the first of `signals` that is aborted before `work` is done. */
export function unlessAborted<T>(work: PromiseLike<T>, ...signals: (AbortSignal | undefined)[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const watched = signals.filter((signal) => signal !== undefined);
    const abort = () => reject(watched.find((signal) => signal.aborted)!.reason);
    const done = () => {
      for (const signal of watched) signal.removeEventListener('abort', abort);
    };
    for (const signal of watched) signal.addEventListener('abort', abort);
    if (watched.some((signal) => signal.aborted)) abort();
    // A rejection of `work` after an abort is handled here, and ignored.
    work.then(
      (value) => {
        done();
        resolve(value);
      },
      (error) => {
        done();
        reject(error);
      },
    );
  });
}
