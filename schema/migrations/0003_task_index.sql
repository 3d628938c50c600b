-- Who writes does not hold all tasks in memory, and asks for one by what it is.
CREATE INDEX task_thread ON task (tid, comm);
