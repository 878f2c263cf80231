/** Every condition, by its name in `condition` of config.json: the one line that a new condition adds. */
export { labelCondition as label } from './label_condition.js';
