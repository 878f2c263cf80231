/** The script inside a worker of `aim-js/worker`: a model that draws. */
import { modelCalls } from './model_calls.js';
import { serve } from './serve.js';

void serve(modelCalls);
