"""The engine of threads: jobs in threads of this process."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from .job import Answer, Call, Job, answer_in_worker


def on_threads(call: Call, jobs: Sequence[Job], number: int) -> Iterator[tuple[Job, Answer]]:
    """Yield each job with its answer when it is ready. After an end before the last, jobs that run come to their end.

    Args:
        call: the function.
        jobs: the jobs, in the order in which they start.
        number: threads.
    """
    todo = iter(jobs)
    running: dict[Future[Answer], Job] = {}
    executor = ThreadPoolExecutor(number)
    try:
        while True:
            for job in todo:
                running[executor.submit(answer_in_worker, call, job.arguments)] = job
                if len(running) >= number:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
