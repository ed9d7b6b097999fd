;; No far memory, for engines without 64-bit addresses or a second memory: it never grows, so nothing is ever stored.
(module
  (func (export "grow") (param $pages i64) (result i64) (i64.const -1))
  (func (export "store") (param $to i64) (param $from i32) (param $length i32) (unreachable))
  (func (export "load") (param $to i32) (param $from i64) (param $length i32) (unreachable)))
